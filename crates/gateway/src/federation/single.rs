//! Requests that concern one member: the prefix says which, and comes off on the way there. Everything
//! else of the request stays as it was.

use super::ask::Answer;
use super::names::Form;
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
        &self,
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
            let part = whole.part(HttpMethod::POST, whole.headers_for(Some(own)), body);
            let response = member.backend.ask_single(part).await;
            return Ok(self.through(whole, &member.prefix, response).await);
        }
        let link = self.link(whole, place).await.ok_or_else(|| self.down(place))?;
        let response = self.ask_linked(whole, place, &link, body.clone()).await;
        if response.status() != StatusCode::NOT_FOUND {
            return Ok(self.through(whole, &member.prefix, response).await);
        }
        // The member has lost its session, so it has not looked at the request: once more in a new one.
        if let Some(session) = &whole.session {
            session.lose(&member.prefix);
        }
        let link = self.link(whole, place).await.ok_or_else(|| self.down(place))?;
        let response = self.ask_linked(whole, place, &link, body).await;
        Ok(self.through(whole, &member.prefix, response).await)
    }

    /// `ping` and the like: every member hears of it; that this endpoint answers is what counts.
    pub(super) async fn everywhere(
        &self,
        whole: &Whole,
        request: &Request<'_>,
        capability: Option<&str>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let able = |link: &Link| capability.is_none_or(|c| link.capabilities.get(c).is_some());
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

const REF: Step<'static> = Step::Key("ref");
