//! Streams of what members say by themselves, as one stream: the stream of a session (older revisions)
//! and `subscriptions/listen` (2026-07-28). A member that is missing or breaks off leaves the rest alone.

use super::ask::Events;
use super::discover::{parsed, put, with_unavailable};
use super::hearing::{Hearing, How, Joined, narrowed};
use super::names::Form;
use super::rewrite::{self, PARAMS};
use super::stream::{Ended, Kind, event_stream, is_stream, resumed};
use super::{Federation, Whole};
use crate::backend::method_not_allowed;
use crate::body::{CHUNKS, ReplyBody};
use crate::headers;
use crate::queue::queue;
use crate::refusal::Cause;
use crate::source::sse_event;
use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, header};
use mcp::edit::Step;
use mcp::message::Subscriptions;
use mcp::{Request, RequestId};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

/// A subscription that a member has taken.
pub(super) struct Taken {
    pub(super) events: Events,
    /// `params.notifications` of its acknowledgement, with names as the client knows them.
    pub(super) honoured: Value,
}

impl Federation {
    /// The stream of a session: of every member that has one, or the rest of one that broke off. Members
    /// that are away join it when they come back.
    pub(super) async fn listen(self: &Arc<Self>, whole: &Whole) -> Response<ReplyBody> {
        let last = whole.headers.get(headers::LAST_EVENT_ID).cloned();
        let last = last.as_ref().and_then(resumed);
        if let Some((Kind::Answer, prefix, id)) = last {
            return self.rest_of_answer(whole, prefix, id).await;
        }
        let hearings = (0..self.members.len()).filter_map(|place| {
            let hearing = self.hearing(whole, place, How::Session)?;
            let own = last.as_ref().filter(|(_, prefix, _)| *prefix == hearing.prefix);
            let last = own.and_then(|(_, _, id)| HeaderValue::from_str(id).ok());
            Some((place, (hearing, last)))
        });
        let joined = self.join_each(hearings.collect()).await;
        if joined.iter().all(|(_, joined)| matches!(joined, Joined::Never(_)))
            && !self.linked(whole).any(|(_, link)| link.is_stateless())
        {
            return method_not_allowed();
        }
        let (chunks, waiting) = queue(CHUNKS);
        if let Some(session) = &whole.session {
            session.hear_on(chunks.downgrade());
            if self.linked(whole).any(|(_, link)| link.is_stateless()) {
                // Subscriptions to resources are told here, whenever they come.
                let (held, ended) = (chunks.clone(), session.ending());
                let (soft, standing) = (self.stops.soft.clone(), self.standing(&whole.actor));
                self.exchanges.spawn(async move {
                    tokio::select! {
                        () = standing.lapsed() => {}
                        () = held.closed() => {}
                        () = ended.cancelled() => {}
                        () = soft.cancelled() => {}
                    }
                });
            }
        }
        for (hearing, first) in joined {
            self.exchanges.spawn(hearing.run(first, chunks.clone()));
        }
        event_stream(waiting)
    }

    /// The rest of an answer is had from its member alone.
    async fn rest_of_answer(&self, whole: &Whole, prefix: &str, id: &str) -> Response<ReplyBody> {
        let link = whole.session.as_ref().and_then(|session| session.link(prefix));
        let link = link.filter(|link| link.id.is_some());
        let (Some((_, member)), Some(link)) = (self.member(prefix), link) else {
            return method_not_allowed();
        };
        let mut map = whole.headers_on(&link, None);
        map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        map.extend(HeaderValue::from_str(id).map(|id| (headers::LAST_EVENT_ID, id)));
        let part = whole.part(HttpMethod::GET, map, Bytes::new());
        let asked = member.backend.ask_single(part);
        let response = match tokio::time::timeout(self.limits.member_timeout, asked).await {
            Ok(response) if is_stream(&response) => response,
            _ => return method_not_allowed(),
        };
        self.through(whole, prefix, response).await
    }

    /// `subscriptions/listen`: each member hears of what concerns it, and the client gets one
    /// acknowledgement for all. Members that are away are told when they come back.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let parts = self.subscriptions(whole, request)?;
        let hearings = parts.into_iter().filter_map(|(place, body)| {
            let how = How::Subscription(body, request.id.clone());
            Some((place, (self.hearing(whole, place, how)?, None)))
        });
        let mut joined = self.join_each(hearings.collect()).await;
        let is_heard = |joined: &Joined| matches!(joined, Joined::Heard(_));
        if !joined.iter().any(|(_, joined)| is_heard(joined)) {
            let refused = joined.into_iter().find_map(|(_, joined)| match joined {
                Joined::Never(answer) | Joined::Later(answer) => answer,
                Joined::Heard(_) => None,
            });
            return refused.ok_or_else(|| self.down(0));
        }
        let acknowledged = acknowledgement(&request.id, &joined);
        let (chunks, waiting) = queue(CHUNKS);
        let id = request.id.clone();
        self.exchanges.spawn(async move {
            let mut flows = JoinSet::new();
            // The client may be gone already; the flows see that.
            chunks.send(Ok(sse_event(&acknowledged))).await.ok();
            for (hearing, first) in joined.drain(..) {
                flows.spawn(hearing.run(first, chunks.clone()));
            }
            let mut in_order = true;
            while let Some(ended) = flows.join_next().await {
                in_order &= matches!(ended, Ok(Ended::InOrder));
            }
            if in_order {
                let meta =
                    json!({"_meta": {SUBSCRIPTION_ID: id_value(&id)}, "resultType": "complete"});
                let last = super::opening::result_message(&id, &meta);
                chunks.send(Ok(sse_event(&last))).await.ok();
            }
        });
        Ok(event_stream(waiting))
    }

    /// The request for each member that it concerns. What is asked of all goes to all; a resource or a
    /// task to its own server.
    fn subscriptions(
        &self,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Vec<(usize, Bytes)>, Cause> {
        let nothing = Subscriptions::default();
        let wanted = request.params.subscriptions.as_ref().unwrap_or(&nothing);
        let named = || {
            let uris = wanted.uris.iter().map(|uri| (Form::Uri, &**uri));
            uris.chain(wanted.tasks.iter().map(|id| (Form::Id, &**id)))
        };
        for (form, name) in named() {
            let prefix = form.split(name).ok_or(Cause::UnknownName)?.0;
            self.member(prefix).ok_or(Cause::UnknownName)?;
        }
        let general = asks_of_all(&whole.body);
        let mut parts = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let own = |wanted: Form| -> Vec<&str> {
                let of = |(form, name)| Form::split(form, name).filter(|_| form == wanted);
                let mine = named().filter_map(of).filter(|(prefix, _)| *prefix == member.prefix);
                mine.map(|(_, own)| own).collect()
            };
            let (uris, tasks) = (own(Form::Uri), own(Form::Id));
            if !general && uris.is_empty() && tasks.is_empty() && named().next().is_some() {
                continue;
            }
            let body = narrowed(&whole.body, &uris, &tasks).ok_or(Cause::UnknownName)?;
            parts.push((place, body));
        }
        Ok(parts)
    }

    fn hearing(self: &Arc<Self>, whole: &Whole, place: usize, how: How) -> Option<Hearing> {
        let prefix = self.members.get(place)?.prefix.clone();
        let federation = self.standing(&whole.actor);
        Some(Hearing { federation, whole: whole.clone(), place, prefix, how })
    }

    /// Joins the streams of members at once.
    async fn join_each(
        &self,
        hearings: Vec<(usize, (Hearing, Option<HeaderValue>))>,
    ) -> Vec<(Hearing, Joined)> {
        let mut asking = JoinSet::new();
        for (place, (hearing, last)) in hearings {
            asking.spawn(async move {
                let joined = hearing.join(last).await;
                (place, hearing, joined)
            });
        }
        let mut all = Vec::new();
        while let Some(joined) = asking.join_next().await {
            all.extend(joined);
        }
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, hearing, joined)| (hearing, joined)).collect()
    }
}

/// Reads a member's stream up to its acknowledgement, which comes first (2026-07-28, subscriptions).
pub(super) async fn taken(
    response: Response<ReplyBody>,
    prefix: &str,
    bytes_max: usize,
) -> Result<Taken, Option<Response<ReplyBody>>> {
    if !is_stream(&response) {
        return Err(Some(response));
    }
    let mut events = Events::new(response.into_body(), bytes_max);
    while let Ok(Some(piece)) = events.next().await {
        let Some(data) = piece.event.and_then(|event| event.data).filter(|d| !d.is_empty()) else {
            continue;
        };
        let seen = rewrite::to_client(&Bytes::from(data), prefix);
        let message = parsed(&seen).filter(|message| message["method"] == ACKNOWLEDGED);
        let mut message = message.ok_or(None)?;
        let honoured = message.pointer_mut("/params/notifications").map(Value::take);
        return Ok(Taken { events, honoured: honoured.unwrap_or_default() });
    }
    Err(None)
}

/// One acknowledgement of what all members together will tell.
fn acknowledgement(id: &RequestId, joined: &[(Hearing, Joined)]) -> Bytes {
    let mut honoured = json!({});
    let mut missing = Vec::new();
    for (hearing, joined) in joined {
        let Joined::Heard(voice) = joined else {
            missing.push(hearing.prefix.as_str());
            continue;
        };
        for (key, value) in voice.honoured.as_object().into_iter().flatten() {
            match (honoured.get_mut(key), value) {
                (Some(Value::Array(held)), Value::Array(more)) => held.extend_from_slice(more),
                (Some(held @ Value::Bool(_)), Value::Bool(true)) => *held = Value::Bool(true),
                (Some(_), _) => {}
                (None, value) => put(&mut honoured, key, Some(value.clone())),
            }
        }
    }
    let params = json!({"_meta": {SUBSCRIPTION_ID: id_value(id)}, "notifications": honoured});
    let params = with_unavailable(params, &missing);
    let params = serde_json::value::to_raw_value(&params).ok();
    Bytes::from(mcp::build::notification(ACKNOWLEDGED, params.as_deref()))
}

/// Whether a subscription wants to hear of changes that any server may have.
fn asks_of_all(body: &[u8]) -> bool {
    let all = mcp::edit::find(body, &[PARAMS, NOTIFICATIONS, Step::Each]);
    all.is_ok_and(|values| values.iter().any(|value| value.raw == "true"))
}

/// The request with this list of names, where it has one.
pub(super) fn with_list(body: &Bytes, key: &str, own: &[&str]) -> Option<Bytes> {
    let list = serde_json::to_string(own).ok()?;
    rewrite::change(body, &[PARAMS, NOTIFICATIONS, Step::Key(key)], |_| Some(list.clone()))
}

fn id_value(id: &RequestId) -> Value {
    serde_json::from_str(&id.to_string()).unwrap_or_default()
}

const NOTIFICATIONS: Step<'static> = Step::Key("notifications");
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
