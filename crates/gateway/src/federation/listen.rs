//! Streams of what members say by themselves, as one stream: the stream of a session (older revisions)
//! and `subscriptions/listen` (2026-07-28). A member that is missing or breaks off leaves the rest alone.

use super::ask::Events;
use super::discover::{parsed, put, with_unavailable};
use super::names::Form;
use super::rewrite::{self, PARAMS};
use super::stream::{Ended, Flow, Kind, event_stream, is_stream, resumed};
use super::{Federation, Whole};
use crate::backend::method_not_allowed;
use crate::body::{CHUNKS_MAX, ReplyBody};
use crate::headers;
use crate::inbound::Inbound;
use crate::refusal::Cause;
use crate::source::sse_event;
use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, header};
use mcp::edit::Step;
use mcp::message::Subscriptions;
use mcp::{Request, RequestId};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A subscription that a member has taken.
struct Taken {
    events: Events,
    /// `params.notifications` of its acknowledgement, with names as the client knows them.
    honoured: Value,
}

impl Federation {
    /// The stream of a session: of every member that has one, or the rest of one that broke off.
    pub(super) async fn listen(self: &Arc<Self>, whole: &Whole) -> Response<ReplyBody> {
        let last = whole.headers.get(headers::LAST_EVENT_ID).cloned();
        let last = last.as_ref().and_then(resumed);
        let mut asking = JoinSet::new();
        for (place, link) in self.linked(whole).filter(|(_, link)| link.id.is_some()) {
            let Some(member) = self.members.get(place) else { continue };
            let mut map = whole.headers_on(&link, None);
            map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
            match &last {
                Some((_, prefix, id)) if *prefix == member.prefix => {
                    map.extend(HeaderValue::from_str(id).map(|id| (headers::LAST_EVENT_ID, id)));
                }
                // The rest of an answer is of its member alone.
                Some((Kind::Answer, ..)) => continue,
                _ => {}
            }
            let part = whole.part(HttpMethod::GET, map, Bytes::new());
            let (backend, prefix) = (Arc::clone(&member.backend), member.prefix.clone());
            let time = self.limits.member_timeout;
            asking.spawn(async move {
                (prefix, tokio::time::timeout(time, backend.ask_single(part)).await.ok())
            });
        }
        let kind = last.map_or(Kind::Listening, |(kind, ..)| kind);
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let mut streams = 0_u32;
        while let Some(answered) = asking.join_next().await {
            let Ok((prefix, Some(response))) = answered else { continue };
            if !is_stream(&response) {
                continue;
            }
            let events = Events::new(response.into_body(), self.limits.reply_bytes_max);
            let flow = Flow { events, prefix, kind: kind.clone() };
            let chunks = chunks.clone();
            self.exchanges.spawn(async move { flow.run(&chunks).await });
            streams += 1;
        }
        if streams == 0 { method_not_allowed() } else { event_stream(queue) }
    }

    /// `subscriptions/listen`: each member hears of what concerns it, and the client gets one
    /// acknowledgement for all.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let parts = self.subscriptions(whole, request)?;
        let (mut taken, mut missing) = (Vec::new(), Vec::new());
        for (place, subscription) in self.take_each(parts).await {
            let Some(member) = self.members.get(place) else { continue };
            match subscription {
                Ok(subscription) => taken.push((member.prefix.clone(), subscription)),
                Err(answer) => missing.push((member.prefix.as_str(), answer)),
            }
        }
        if taken.is_empty() {
            let refused = missing.into_iter().find_map(|(_, answer)| answer);
            return refused.ok_or_else(|| self.down(0));
        }
        let missing: Vec<&str> = missing.iter().map(|(prefix, _)| *prefix).collect();
        let acknowledged = acknowledgement(&request.id, &taken, &missing);
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let id = request.id.clone();
        self.exchanges.spawn(async move {
            let mut flows = JoinSet::new();
            // The client may be gone already; the flows see that.
            chunks.send(Ok(sse_event(&acknowledged))).await.ok();
            for (prefix, Taken { events, .. }) in taken {
                let kind = Kind::Subscribed(Some(id.clone()));
                let (flow, chunks) = (Flow { events, prefix, kind }, chunks.clone());
                flows.spawn(async move { flow.run(&chunks).await });
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
        Ok(event_stream(queue))
    }

    /// The request for each member that it concerns. What is asked of all goes to all; a resource or a
    /// task to its own server.
    fn subscriptions(
        &self,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Vec<(usize, Inbound)>, Cause> {
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
            let body = with_list(&whole.body, "resourceSubscriptions", &uris)
                .and_then(|body| with_list(&body, "taskIds", &tasks))
                .ok_or(Cause::UnknownName)?;
            parts.push((place, whole.part(HttpMethod::POST, whole.headers_for(None), body)));
        }
        Ok(parts)
    }

    /// Waits until each member has acknowledged its subscription; a member that refuses gives the answer.
    async fn take_each(
        &self,
        parts: Vec<(usize, Inbound)>,
    ) -> Vec<(usize, Result<Taken, Option<Response<ReplyBody>>>)> {
        let mut asking = JoinSet::new();
        for (place, part) in parts {
            let Some(member) = self.members.get(place) else { continue };
            let (backend, prefix) = (Arc::clone(&member.backend), member.prefix.clone());
            let (time, bytes_max) = (self.limits.member_timeout, self.limits.reply_bytes_max);
            asking.spawn(async move {
                let taken =
                    async { taken(backend.ask_single(part).await, &prefix, bytes_max).await };
                (place, tokio::time::timeout(time, taken).await.unwrap_or(Err(None)))
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asking.join_next().await {
            answers.extend(answer);
        }
        answers.sort_by_key(|(place, _)| *place);
        answers
    }
}

/// Reads a member's stream up to its acknowledgement, which comes first (2026-07-28, subscriptions).
async fn taken(
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
fn acknowledgement(id: &RequestId, taken: &[(String, Taken)], missing: &[&str]) -> Bytes {
    let mut honoured = json!({});
    for (_, subscription) in taken {
        for (key, value) in subscription.honoured.as_object().into_iter().flatten() {
            match (honoured.get_mut(key), value) {
                (Some(Value::Array(held)), Value::Array(more)) => held.extend_from_slice(more),
                (Some(held @ Value::Bool(_)), Value::Bool(true)) => *held = Value::Bool(true),
                (Some(_), _) => {}
                (None, value) => put(&mut honoured, key, Some(value.clone())),
            }
        }
    }
    let params = json!({"_meta": {SUBSCRIPTION_ID: id_value(id)}, "notifications": honoured});
    let params = with_unavailable(params, missing);
    let params = serde_json::value::to_raw_value(&params).ok();
    Bytes::from(mcp::build::notification(ACKNOWLEDGED, params.as_deref()))
}

/// Whether a subscription wants to hear of changes that any server may have.
fn asks_of_all(body: &[u8]) -> bool {
    let all = mcp::edit::find(body, &[PARAMS, NOTIFICATIONS, Step::Each]);
    all.is_ok_and(|values| values.iter().any(|value| value.raw == "true"))
}

/// The request with this list of names, where it has one.
fn with_list(body: &Bytes, key: &str, own: &[&str]) -> Option<Bytes> {
    let list = serde_json::to_string(own).ok()?;
    rewrite::change(body, &[PARAMS, NOTIFICATIONS, Step::Key(key)], |_| Some(list.clone()))
}

fn id_value(id: &RequestId) -> Value {
    serde_json::from_str(&id.to_string()).unwrap_or_default()
}

const NOTIFICATIONS: Step<'static> = Step::Key("notifications");
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
