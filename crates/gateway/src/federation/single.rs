//! Requests that concern one member: the prefix says which, and comes off on the way there. Everything
//! else of the request stays as it was.

use super::ask::Answer;
use super::era::Era;
use super::names::Form;
use super::older::Level;
use super::rewrite::{PARAMS, TASK_ID, URI};
use super::session::Link;
use super::{Federation, Whole, rewrite};
use crate::body::ReplyBody;
use crate::refusal::{Cause, json_response};
use bytes::Bytes;
use http::{Method as HttpMethod, Response, StatusCode};
use mcp::edit::Step;
use mcp::message::Reference;
use mcp::{Method, Request};
use std::sync::Arc;

/// Where a request names what it touches.
struct Target<'m> {
    form: Form,
    path: &'static [Step<'static>],
    name: &'m str,
}

impl<'m> Target<'m> {
    fn of(request: &'m Request<'_>) -> Option<Self> {
        let params = &request.params;
        let (form, path, name): (_, &'static [Step<'static>], _) = match &request.method {
            Method::ToolsCall | Method::PromptsGet => {
                (Form::Name, &[PARAMS, Step::Key("name")], params.name.as_deref())
            }
            Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::ResourcesDirectoryRead
            | Method::SkillsGet => (Form::Uri, &[PARAMS, URI], params.uri.as_deref()),
            Method::TasksGet | Method::TasksResult | Method::TasksUpdate | Method::TasksCancel => {
                (Form::Id, &[PARAMS, TASK_ID], params.task_id.as_deref())
            }
            Method::CompletionComplete => match params.reference.as_ref()? {
                Reference::Prompt(name) => {
                    (Form::Name, &[PARAMS, REF, Step::Key("name")], Some(&**name))
                }
                Reference::Resource(uri) => (Form::Uri, &[PARAMS, REF, URI], Some(&**uri)),
            },
            _ => return None,
        };
        Some(Self { form, path, name: name? })
    }
}

impl Federation {
    pub(super) async fn single(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Response<ReplyBody>, Cause> {
        // Clients of the older revisions take 404 for the end of their session.
        let status = if whole.modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let target = Target::of(request).ok_or(Cause::NoMethod(status))?;
        let (prefix, own) = target.form.split(target.name).ok_or(Cause::UnknownName)?;
        let (place, member) = self.member(prefix).ok_or(Cause::UnknownName)?;
        let body = rewrite::to_member(&whole.body, target.path, own).ok_or(Cause::UnknownName)?;
        if whole.modern {
            return self.stateless(whole, request, (place, own, body)).await;
        }
        let link = self.link(whole, place).await.ok_or_else(|| self.down(place))?;
        if link.is_stateless() {
            return match request.method {
                Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
                    self.watch(whole, request, place, &link).await
                }
                _ => self.carry_newer(whole, request, (place, own, body), &link).await,
            };
        }
        let mut response = self.ask_linked(whole, place, &link, body.clone()).await;
        if response.status() == StatusCode::NOT_FOUND {
            // The member has lost its session, so it has not looked at the request: once more in a new
            // one.
            if let Some(session) = &whole.session {
                session.lose(&member.prefix);
            }
            let link = self.link(whole, place).await.ok_or_else(|| self.down(place))?;
            response = self.ask_linked(whole, place, &link, body).await;
        }
        let target = (member.prefix.as_str(), own);
        let response = self.note_subscription(whole, request, target, response).await;
        Ok(self.through(whole, &member.prefix, response).await)
    }

    /// A request of a stateless client to a member of either era.
    async fn stateless(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
        (place, own, body): (usize, &str, Bytes),
    ) -> Result<Response<ReplyBody>, Cause> {
        let member = self.members.get(place).ok_or(Cause::UnknownName)?;
        if self.era(whole, place).await == Era::Stateless {
            let headers = whole.headers_for(Some(own));
            let part = whole.part(HttpMethod::POST, headers, body.clone());
            let response = member.backend.ask_single(part).await;
            if response.status() != StatusCode::BAD_REQUEST {
                return Ok(self.through(whole, &member.prefix, response).await);
            }
            let id = whole.id.as_ref();
            let answer = super::ask::whole(response, id, self.limits.reply_bytes_max).await;
            let answer = answer.ok_or_else(|| self.down(place))?;
            if !Era::wants_session(&answer) {
                return Ok(whole.relay(answer));
            }
            self.eras.learn(&member.prefix, Era::Sessions);
        }
        self.carry_older(whole, request, (place, body)).await
    }

    /// `ping` and the like: every member hears of it; that this endpoint answers is what counts.
    pub(super) async fn everywhere(
        &self,
        whole: &Whole,
        request: &Request<'_>,
        capability: Option<&str>,
    ) -> Result<Response<ReplyBody>, Cause> {
        if let (Some(session), Method::LoggingSetLevel) = (&whole.session, &request.method) {
            session.want_level(level_of(&whole.body)?);
        }
        let able =
            |link: &Link| !link.is_stateless() && capability.is_none_or(|c| link.offers(&[c]));
        let parts = self.linked(whole).filter(|(_, link)| able(link)).map(|(place, link)| {
            let headers = whole.headers_on(&link, None);
            (place, whole.part(HttpMethod::POST, headers, whole.body.clone()))
        });
        let answers = self.ask_each(parts.collect(), Some(&request.id)).await;
        let done = |answer: &Answer| super::discover::result_of(&answer.message).is_some();
        if answers.is_empty() || answers.iter().any(|(_, a)| a.as_ref().is_some_and(done)) {
            let result = super::opening::result_message(&request.id, &serde_json::json!({}));
            return Ok(json_response(StatusCode::OK, result));
        }
        self.relay_first(whole, answers)
    }

    /// Asks a member in its session, and notes that it has the request.
    async fn ask_linked(
        &self,
        whole: &Whole,
        place: usize,
        link: &Link,
        body: Bytes,
    ) -> Response<ReplyBody> {
        let Some(member) = self.members.get(place) else { return crate::backend::stopping() };
        if let (Some(session), Some(id)) = (&whole.session, &whole.id) {
            session.begin(id, &member.prefix);
        }
        let headers = whole.headers_on(link, None);
        member.backend.ask_single(whole.part(HttpMethod::POST, headers, body)).await
    }
}

fn level_of(body: &[u8]) -> Result<Level, Cause> {
    let found = mcp::edit::find(body, &[PARAMS, Step::Key("level")]).ok();
    let name = found.and_then(|found| serde_json::from_str::<String>(found.first()?.raw).ok());
    name.and_then(|name| Level::of(&name)).ok_or(Cause::BadLevel)
}

const REF: Step<'static> = Step::Key("ref");
