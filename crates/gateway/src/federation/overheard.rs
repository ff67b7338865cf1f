//! What a member of the older revisions says by itself, for a stateless client that listens: a session is
//! held for this subscription alone, resources are subscribed to in it, and what comes on its stream is
//! told as the newer revision does. Ends the session when nobody listens any more.

use super::ask::Events;
use super::current::Current;
use super::hearing::{LISTS, list_changes};
use super::older::reply_to;
use super::rewrite::{self, META, PARAMS};
use super::session::Link;
use super::stream::{Ended, is_stream};
use super::{Federation, Whole};
use crate::body::{Chunks, ReplyBody};
use crate::source::sse_event;
use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, header};
use mcp::edit::{Edit, Step, find};
use mcp::{Frame, Message, Method, RequestId};
use serde_json::Value;
use std::sync::Arc;

/// The stream, and the session that it belongs to.
pub(super) struct Overheard {
    federation: Arc<Current>,
    inner: Whole,
    place: usize,
    prefix: String,
    link: Link,
    events: Events,
    /// Notifications that the client wants.
    methods: Vec<&'static str>,
    /// Of the client's request.
    id: RequestId,
}

impl Overheard {
    /// Opens the session and its stream. What the member will tell comes with it; nothing, when the member
    /// cannot be reached. `Err` is the member's refusal.
    pub(super) async fn open(
        federation: &Arc<Federation>,
        (whole, place): (&Whole, usize),
        body: &Bytes,
        id: &RequestId,
    ) -> Result<Option<(Self, Value)>, Response<ReplyBody>> {
        let session = Arc::new(federation.own_session(whole));
        let inner = whole.within(session);
        let Some(member) = federation.members.get(place) else { return Ok(None) };
        let Some(link) = federation.link(&inner, place).await else { return Ok(None) };
        let mut map = inner.headers_on(&link, None);
        map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let part = inner.part(HttpMethod::GET, map, Bytes::new());
        let response = member.backend.ask_single(part).await;
        if !is_stream(&response) {
            end(federation, (&inner, place), &link).await;
            return Err(response);
        }
        let events = Events::new(response.into_body(), federation.limits.reply_bytes_max);
        let mut honoured = serde_json::Map::new();
        let mut methods = Vec::new();
        let offered = list_changes(&link);
        for (_, key, method) in LISTS {
            if offered.get(key).is_some() && wants(body, key) {
                honoured.insert(key.to_owned(), Value::Bool(true));
                methods.push(method);
            }
        }
        let overheard = Self {
            federation: Arc::clone(&federation.current),
            inner,
            place,
            prefix: member.prefix.clone(),
            link,
            events,
            methods,
            id: id.clone(),
        };
        let uris = overheard.subscribe(federation, &uris(body)).await;
        if !uris.is_empty() {
            honoured.insert("resourceSubscriptions".to_owned(), uris.into());
        }
        Ok(Some((overheard, Value::Object(honoured))))
    }

    /// Subscribes to each resource; those that the member let be subscribed to, as the client calls them.
    async fn subscribe(&self, federation: &Arc<Federation>, uris: &[String]) -> Vec<String> {
        let mut subscribed = Vec::new();
        for uri in uris {
            let asked = federation.subscribe_to((&self.inner, self.place), &self.link, uri).await;
            if asked == Some(true) {
                subscribed.push(super::names::Form::Uri.join(&self.prefix, uri));
            }
        }
        subscribed
    }

    /// Tells the client until it goes away or the member's stream ends.
    pub(super) async fn run(mut self, chunks: &Chunks) -> Ended {
        let ended = self.pass(chunks).await;
        if let Some(federation) = self.federation.upgrade() {
            end(&federation, (&self.inner, self.place), &self.link).await;
        }
        ended
    }

    async fn pass(&mut self, chunks: &Chunks) -> Ended {
        loop {
            let next = tokio::select! {
                biased;
                () = chunks.closed() => return Ended::InOrder,
                next = self.events.next() => next,
            };
            let Ok(Some(piece)) = next else { return Ended::Broken };
            let data = piece.event.and_then(|event| event.data).filter(|data| !data.is_empty());
            let told = match data {
                // What keeps the member's stream alive, keeps the client's.
                None => Some(Bytes::from_static(b":\n\n")),
                Some(data) => self.told(&Bytes::from(data)).await,
            };
            if let Some(told) = told
                && chunks.send(Ok(told)).await.is_err()
            {
                return Ended::InOrder;
            }
        }
    }

    async fn told(&self, message: &Bytes) -> Option<Bytes> {
        let frame = mcp::parse(message, &mcp::Limits::for_replies()).ok()?;
        match frame {
            Frame::Single(Message::Notification(notice)) => {
                let wanted = notice.method == Method::NotificationsResourcesUpdated
                    || self.methods.contains(&notice.method.name());
                let marked = marked(message, &self.id).filter(|_| wanted)?;
                Some(sse_event(&rewrite::to_client(&marked, &self.prefix)))
            }
            Frame::Single(Message::Request(question)) => {
                let federation = self.federation.upgrade()?;
                let headers = self.inner.headers_on(&self.link, None);
                let part = self.inner.part(HttpMethod::POST, headers, reply_to(&question));
                federation.ask_each(vec![(self.place, part)], None).await;
                None
            }
            _ => None,
        }
    }
}

async fn end(federation: &Arc<Federation>, (inner, place): (&Whole, usize), link: &Link) {
    if link.id.is_some() {
        let headers = inner.headers_on(link, None);
        let part = inner.part(HttpMethod::DELETE, headers, Bytes::new());
        federation.ask_each(vec![(place, part)], None).await;
    }
}

/// A notification with the id of the subscription that it belongs to.
fn marked(message: &Bytes, id: &RequestId) -> Option<Bytes> {
    let mut out = message.clone();
    let id = id.to_string();
    let steps: [(&[Step<'static>], &str, &str); 3] = [
        (&[], "params", "{}"),
        (&[PARAMS], "_meta", "{}"),
        (&[PARAMS, META], "io.modelcontextprotocol/subscriptionId", &id),
    ];
    for (path, key, value) in steps {
        let mut edit = Edit::new(&out).ok()?;
        edit.insert(path, key, value).ok()?;
        out = Bytes::from(edit.finish().ok()?);
    }
    Some(out)
}

fn wants(body: &[u8], key: &str) -> bool {
    let found = find(body, &[PARAMS, Step::Key("notifications"), Step::Key(key)]);
    found.is_ok_and(|values| values.iter().any(|value| value.raw == "true"))
}

fn uris(body: &[u8]) -> Vec<String> {
    let path = [PARAMS, Step::Key("notifications"), Step::Key("resourceSubscriptions"), Step::Each];
    let found = find(body, &path).unwrap_or_default();
    found.iter().filter_map(|value| serde_json::from_str(value.raw).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{marked, uris, wants};
    use bytes::Bytes;
    use mcp::RequestId;

    #[test]
    fn notices_name_their_subscription() {
        for (message, wanted) in [
            (
                r#"{"jsonrpc":"2.0","method":"m"}"#,
                r#"{"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}},"jsonrpc":"2.0","method":"m"}"#,
            ),
            (
                r#"{"method":"m","params":{"uri":"x:1","_meta":{"a":1}}}"#,
                r#"{"method":"m","params":{"uri":"x:1","_meta":{"io.modelcontextprotocol/subscriptionId":"s","a":1}}}"#,
            ),
        ] {
            assert_eq!(marked(&Bytes::from(message), &RequestId::text("s")).unwrap(), wanted);
        }
    }

    #[test]
    fn a_subscription_says_what_it_wants() {
        let body = br#"{"params":{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["x:1"]}}}"#;
        assert!(wants(body, "toolsListChanged"));
        assert!(!wants(body, "promptsListChanged") && !wants(body, "resourcesListChanged"));
        assert_eq!(uris(body), ["x:1"]);
        assert!(uris(b"{}").is_empty());
    }
}
