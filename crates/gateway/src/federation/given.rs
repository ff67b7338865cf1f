//! What one member gives to a request that concerns all of them, as a whole answer in the words of the
//! client's era, whichever era the member speaks. Knows nothing of what the others give.

use super::ask::{self, Answer};
use super::era::{Era, mirrored};
use super::newer::Newer;
use super::older::{Heard, Older};
use super::rewrite::change;
use super::session::Link;
use super::{Federation, Whole};
use http::{Method as HttpMethod, StatusCode};
use mcp::edit::Step;
use mcp::{Frame, Message, Request};

/// What came of asking a member.
#[derive(Debug)]
pub(super) enum Given {
    Answer(Answer),
    /// It does not offer what is asked for, so it was not asked.
    NotOffered,
}

impl Federation {
    /// `None` when it cannot be reached, or gives no answer.
    pub(super) async fn given(
        &self,
        whole: &Whole,
        place: usize,
        capability: &[&str],
    ) -> Option<Given> {
        if whole.modern {
            return self.given_stateless(whole, place, capability).await;
        }
        let link = self.link(whole, place).await?;
        if !link.offers(capability) {
            return Some(Given::NotOffered);
        }
        if link.is_stateless() {
            return self.given_newer(whole, place, &link).await.map(Given::Answer);
        }
        self.asked_on(whole, place, &link).await.map(Given::Answer)
    }

    async fn given_newer(&self, whole: &Whole, place: usize, link: &Link) -> Option<Answer> {
        let (member, session) = (self.members.get(place)?, whole.session.as_ref()?);
        let newer = Newer::of(&session.opening, None);
        let own = session.next_id();
        let body = newer.request(&whole.body, &own, &link.revision)?;
        let headers = mirrored(&whole.headers, &body, &[])?;
        let part = whole.part(HttpMethod::POST, headers, body);
        let answer = member.backend.ask_single(part).await;
        let answer = ask::whole(answer, Some(&own), self.limits.reply_bytes_max).await?;
        let id = whole.id.as_ref()?.to_string();
        let message = change(&answer.message, &[Step::Key("id")], |_| Some(id.clone()));
        Some(Answer { message: message.unwrap_or(answer.message.clone()), ..answer })
    }

    async fn given_stateless(
        &self,
        whole: &Whole,
        place: usize,
        capability: &[&str],
    ) -> Option<Given> {
        let member = self.members.get(place)?;
        if self.era(whole, place).await == Era::Stateless {
            let part = whole.part(HttpMethod::POST, whole.headers_for(None), whole.body.clone());
            let answer = member.backend.ask_single(part).await;
            let answer = ask::whole(answer, whole.id.as_ref(), self.limits.reply_bytes_max).await?;
            if !Era::wants_session(&answer) {
                return Some(Given::Answer(answer));
            }
            self.eras.learn(&member.prefix, Era::Sessions);
        }
        let inner = self.in_held_session(whole).ok()?;
        let link = self.link(&inner, place).await?;
        if !link.offers(capability) {
            return Some(Given::NotOffered);
        }
        let message = mcp::parse(&whole.body, &mcp::Limits::for_replies()).ok()?;
        let Frame::Single(Message::Request(request)) = message else { return None };
        let answer = self.given_older(&inner, place, (&link, &request)).await?;
        if answer.status != StatusCode::NOT_FOUND {
            return Some(Given::Answer(answer));
        }
        // The member has lost its session: once more in a new one.
        inner.session.as_ref()?.lose(&member.prefix);
        let link = self.link(&inner, place).await?;
        self.given_older(&inner, place, (&link, &request)).await.map(Given::Answer)
    }

    async fn given_older(
        &self,
        inner: &Whole,
        place: usize,
        (link, request): (&Link, &Request<'_>),
    ) -> Option<Answer> {
        let call = Older::of(request, inner.session.as_ref()?.next_id()).ok()?;
        let body = call.request(&inner.body)?;
        let translated = Whole { body, id: Some(call.own.clone()), ..inner.clone() };
        let answer = self.asked_on(&translated, place, link).await?;
        Some(match call.heard(&answer.message) {
            Heard::Answer(message, _) => Answer { message, status: StatusCode::OK, ..answer },
            _ => answer,
        })
    }

    /// Asks a member in its session.
    async fn asked_on(&self, whole: &Whole, place: usize, link: &Link) -> Option<Answer> {
        let member = self.members.get(place)?;
        let headers = whole.headers_on(link, None);
        let part = whole.part(HttpMethod::POST, headers, whole.body.clone());
        let answer = member.backend.ask_single(part).await;
        ask::whole(answer, whole.id.as_ref(), self.limits.reply_bytes_max).await
    }
}
