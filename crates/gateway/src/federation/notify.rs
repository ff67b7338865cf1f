//! Messages of the client that want no answer, and its answers to requests of members: each goes where
//! it belongs, under the name that is known there.

use super::rewrite::{self, PARAMS};
use super::session::NoRoom;
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::refusal::Cause;
use bytes::Bytes;
use http::{Method as HttpMethod, Response, StatusCode};
use mcp::edit::Step;
use mcp::{Method, Notification, RequestId};

impl Federation {
    pub(super) async fn notify(
        &self,
        whole: &Whole,
        notice: &Notification<'_>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let Some(session) = &whole.session else {
            // Stateless revisions have no notifications from clients over HTTP.
            return Err(Cause::OutOfPlace("notification"));
        };
        match &notice.method {
            Method::NotificationsCancelled => {
                let cancelled = notice.params.request_id.as_ref();
                if cancelled.is_some_and(|id| session.stop(id)) {
                    return Ok(accepted());
                }
                let holder = cancelled.and_then(|id| session.holder(id));
                match holder {
                    Some(prefix) => self.tell(whole, &prefix, whole.body.clone()).await,
                    // It is answered already, or no member ever had it.
                    None => Ok(accepted()),
                }
            }
            Method::NotificationsProgress => {
                let token = notice.params.progress_token.as_ref().and_then(RequestId::as_text);
                let (prefix, own) =
                    token.and_then(rewrite::own_id).ok_or(Cause::OutOfPlace("progress"))?;
                let path = [PARAMS, Step::Key("progressToken")];
                let body = rewrite::change(&whole.body, &path, |_| Some(own.to_owned()));
                self.tell(whole, prefix, body.unwrap_or_else(|| whole.body.clone())).await
            }
            method => {
                if matches!(method, Method::NotificationsInitialized) {
                    session.set_initialized();
                }
                let older = self.linked(whole).filter(|(_, link)| !link.is_stateless());
                let parts = older.map(|(place, link)| {
                    let headers = whole.headers_on(&link, None);
                    (place, whole.part(HttpMethod::POST, headers, whole.body.clone()))
                });
                self.ask_each(parts.collect(), None).await;
                Ok(accepted())
            }
        }
    }

    /// The client's answer to a request of a member.
    pub(super) async fn answer(
        &self,
        whole: &Whole,
        id: Option<&RequestId>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let text = id.and_then(RequestId::as_text);
        let given = text.zip(whole.session.as_ref()).map(|(id, s)| s.answer(id, &whole.body));
        match given {
            Some(Ok(true)) => return Ok(accepted()),
            Some(Err(NoRoom)) => return Err(Cause::Overloaded("too many answers wait")),
            Some(Ok(false)) | None => {}
        }
        let seen = text.and_then(rewrite::own_id);
        let (prefix, own) = seen.ok_or(Cause::OutOfPlace("response"))?;
        let body = rewrite::answer_to_member(&whole.body, own);
        self.tell(whole, prefix, body.ok_or(Cause::OutOfPlace("response"))?).await
    }

    async fn tell(
        &self,
        whole: &Whole,
        prefix: &str,
        body: Bytes,
    ) -> Result<Response<ReplyBody>, Cause> {
        let (place, member) = self.member(prefix).ok_or(Cause::UnknownName)?;
        let link = whole.session.as_ref().and_then(|session| session.link(prefix));
        let link = link.ok_or_else(|| self.down(place))?;
        if link.is_stateless() {
            // Such a server asks nothing by itself, so there is nothing to answer or to go on with.
            return Err(Cause::OutOfPlace("response"));
        }
        let part = whole.part(HttpMethod::POST, whole.headers_on(&link, None), body);
        let response = member.backend.ask_single(part).await;
        Ok(self.through(whole, prefix, response).await)
    }
}

fn accepted() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
