//! How one member is heard for as long as a client listens: its stream is joined, and joined again when it
//! breaks off or the member was away. It refuses to know what the other members say.

use super::ask::Events;
use super::current::Standing;
use super::era::Era;
use super::listen::{Taken, taken, with_list};
use super::names::Form;
use super::newer::Newer;
use super::overheard::Overheard;
use super::session::Link;
use super::stream::{Ended, Flow, Kind, is_stream};
use super::{Federation, Whole};
use crate::body::{Chunks, ReplyBody};
use crate::headers;
use crate::source::sse_event;
use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use mcp::RequestId;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A member, and what is to be heard of it.
pub(super) struct Hearing {
    pub(super) federation: Standing,
    pub(super) whole: Whole,
    pub(super) place: usize,
    pub(super) prefix: String,
    pub(super) how: How,
}

/// On whose behalf.
#[derive(Debug, Clone)]
pub(super) enum How {
    /// The stream of a client's session.
    Session,
    /// `subscriptions/listen` of a stateless client: the request as this member gets it.
    Subscription(Bytes, RequestId),
}

/// What came of joining a member's stream.
pub(super) enum Joined {
    Heard(Box<Voice>),
    /// The member has no such stream, or gives none to this caller; its answer, if there is one.
    Never(Option<Response<ReplyBody>>),
    /// The member is away; perhaps its answer says so.
    Later(Option<Response<ReplyBody>>),
}

/// A member's stream.
pub(super) struct Voice {
    source: Source,
    /// What is heard in it: `params.notifications` of an acknowledgement, names as the client knows them.
    pub(super) honoured: Value,
}

enum Source {
    Flow(Box<Flow>),
    /// Of a session that is held for this subscription alone.
    Overheard(Box<Overheard>),
}

impl Hearing {
    /// Joins the stream of the member, within the time for members.
    pub(super) async fn join(&self, last: Option<HeaderValue>) -> Joined {
        let Some(federation) = self.federation.upgrade() else { return Joined::Never(None) };
        let time = federation.limits.member_timeout;
        let joined = async {
            match &self.how {
                How::Session => self.join_session(&federation, last).await,
                How::Subscription(body, id) => self.subscribe(&federation, body, id).await,
            }
        };
        tokio::time::timeout(time, joined).await.unwrap_or(Joined::Later(None))
    }

    /// Passes on what the member says until the client goes away or has to show again who it is, and joins
    /// the member again whenever it can. Whether it ended in order.
    pub(super) async fn run(self, first: Joined, chunks: Chunks) -> Ended {
        let lapsed = self.federation.clone();
        tokio::select! {
            biased;
            () = lapsed.lapsed() => Ended::InOrder,
            ended = self.run_for_ever(first, chunks) => ended,
        }
    }

    async fn run_for_ever(self, first: Joined, chunks: Chunks) -> Ended {
        let Some(federation) = self.federation.upgrade() else { return Ended::Broken };
        let (least, soft) = (federation.limits.member_retry, federation.stops.soft.clone());
        drop(federation);
        let session = self.whole.session.as_ref();
        let over = session.map(|session| session.ending()).unwrap_or_default();
        let (mut joined, mut pause, mut was_away) = (first, least, false);
        loop {
            let mut last = None;
            match joined {
                Joined::Never(_) => return Ended::InOrder,
                Joined::Later(_) => was_away = true,
                Joined::Heard(voice) => {
                    if std::mem::take(&mut was_away) {
                        self.tell_changes(&voice.honoured, &chunks).await;
                    }
                    let (ended, id) = tokio::select! {
                        biased;
                        () = over.cancelled() => return Ended::InOrder,
                        heard = voice.run(&chunks) => heard,
                    };
                    let subscribed = matches!(self.how, How::Subscription(..));
                    if ended == Ended::InOrder && (subscribed || chunks.is_closed()) {
                        return ended;
                    }
                    was_away = ended == Ended::Broken;
                    last = id.and_then(|id| HeaderValue::from_str(&id).ok());
                    pause = least;
                }
            }
            if let Some(ended) = wait(pause, &chunks, (&soft, &over)).await {
                return ended;
            }
            pause = (pause * 2).min(PAUSE_MAX);
            joined = tokio::select! {
                biased;
                () = chunks.closed() => return Ended::InOrder,
                joined = self.join(last) => joined,
            };
        }
    }

    /// A server that was away may have changed whatever it would have told.
    async fn tell_changes(&self, honoured: &Value, chunks: &Chunks) {
        tracing::info!(prefix = self.prefix, "a server that was away is heard again");
        for notice in changes(honoured) {
            // A client that is gone is seen by the stream.
            chunks.send(Ok(sse_event(&notice))).await.ok();
        }
    }

    async fn join_session(&self, federation: &Federation, last: Option<HeaderValue>) -> Joined {
        let (Some(link), Some(member)) =
            (federation.link(&self.whole, self.place).await, federation.members.get(self.place))
        else {
            return Joined::Later(None);
        };
        if link.is_stateless() {
            return self.listen_for_session(federation, &link).await;
        }
        if link.id.is_none() {
            return Joined::Never(None);
        }
        let mut map = self.whole.headers_on(&link, None);
        map.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        map.extend(last.map(|id| (headers::LAST_EVENT_ID, id)));
        let part = self.whole.part(HttpMethod::GET, map, Bytes::new());
        let response = member.backend.ask_single(part).await;
        if response.status() == StatusCode::NOT_FOUND
            && let Some(session) = &self.whole.session
        {
            // Lost with the member's last life; the next time there is a new one.
            session.lose(&self.prefix);
            return Joined::Later(None);
        }
        if !is_stream(&response) {
            return failed(response);
        }
        let events = Events::new(response.into_body(), federation.limits.reply_bytes_max);
        let flow = Flow { events, prefix: self.prefix.clone(), kind: Kind::Listening };
        let honoured = list_changes(&link);
        Joined::Heard(Box::new(Voice { source: Source::Flow(Box::new(flow)), honoured }))
    }

    /// What a stateless member says of changes of its lists, for the client of a session.
    async fn listen_for_session(&self, federation: &Federation, link: &Link) -> Joined {
        let (Some(member), Some(session)) =
            (federation.members.get(self.place), self.whole.session.as_ref())
        else {
            return Joined::Never(None);
        };
        let wanted = list_changes(link);
        if wanted.as_object().is_none_or(serde_json::Map::is_empty) {
            return Joined::Never(None);
        }
        let id = session.next_id();
        let newer = Newer::of(&session.opening, None);
        let part = self.whole.listening(&newer, &id, &link.revision, &wanted);
        let Some(part) = part else { return Joined::Never(None) };
        let asked = member.backend.ask_single(part).await;
        let limit = federation.limits.reply_bytes_max;
        match taken(asked, &self.prefix, limit).await {
            Ok(taken) => self.heard(taken, Some(id)),
            Err(Some(refused)) => failed(refused),
            Err(None) => Joined::Later(None),
        }
    }

    /// The subscription of a stateless client, at a member of either era.
    async fn subscribe(
        &self,
        federation: &Arc<Federation>,
        body: &Bytes,
        id: &RequestId,
    ) -> Joined {
        let Some(member) = federation.members.get(self.place) else { return Joined::Never(None) };
        if federation.era(&self.whole, self.place).await == Era::Stateless {
            let headers = self.whole.headers_for(None);
            let part = self.whole.part(HttpMethod::POST, headers, body.clone());
            let asked = member.backend.ask_single(part).await;
            if asked.status() != StatusCode::BAD_REQUEST {
                let limit = federation.limits.reply_bytes_max;
                return match taken(asked, &self.prefix, limit).await {
                    Ok(taken) => self.heard(taken, Some(id.clone())),
                    Err(Some(refused)) => failed(refused),
                    Err(None) => Joined::Later(None),
                };
            }
            federation.eras.forget(&member.prefix);
            return failed(asked);
        }
        match Overheard::open(federation, (&self.whole, self.place), body, id).await {
            Ok(Some((source, honoured))) => Joined::Heard(Box::new(Voice {
                source: Source::Overheard(Box::new(source)),
                honoured,
            })),
            Ok(None) => Joined::Later(None),
            Err(refused) => failed(refused),
        }
    }

    fn heard(&self, Taken { events, honoured }: Taken, id: Option<RequestId>) -> Joined {
        let flow = Flow { events, prefix: self.prefix.clone(), kind: Kind::Subscribed(id) };
        Joined::Heard(Box::new(Voice { source: Source::Flow(Box::new(flow)), honoured }))
    }
}

impl Voice {
    /// How it ended, and the last event id.
    async fn run(self, chunks: &Chunks) -> (Ended, Option<String>) {
        match self.source {
            Source::Flow(flow) => flow.run(chunks).await,
            Source::Overheard(overheard) => (overheard.run(chunks).await, None),
        }
    }
}

impl Whole {
    /// `subscriptions/listen` to a stateless member, on behalf of a session.
    pub(super) fn listening(
        &self,
        newer: &Newer,
        id: &RequestId,
        revision: &str,
        notifications: &Value,
    ) -> Option<crate::inbound::Inbound> {
        let body = Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"notifications":{notifications}}}}}"#
        ));
        let body = newer.request(&body, id, revision)?;
        let headers = super::era::mirrored(&self.headers, &body, &[])?;
        Some(self.part(HttpMethod::POST, headers, body))
    }
}

/// The request with only what this member is asked to tell.
pub(super) fn narrowed(body: &Bytes, uris: &[&str], tasks: &[&str]) -> Option<Bytes> {
    let body = with_list(body, "resourceSubscriptions", uris)?;
    with_list(&body, "taskIds", tasks)
}

/// Waits before the next attempt; how it ends, if nothing is to be heard any more.
async fn wait(
    pause: Duration,
    chunks: &Chunks,
    (soft, over): (&CancellationToken, &CancellationToken),
) -> Option<Ended> {
    tokio::select! {
        biased;
        () = chunks.closed() => Some(Ended::InOrder),
        () = soft.cancelled() => Some(Ended::Broken),
        () = over.cancelled() => Some(Ended::InOrder),
        () = tokio::time::sleep(pause) => None,
    }
}

/// What a server says that it will tell of its lists, as a subscription wants it.
pub(super) fn list_changes(link: &Link) -> Value {
    let told = LISTS.iter().filter(|(kind, ..)| link.says(&[kind, "listChanged"]));
    told.map(|(_, key, _)| ((*key).to_owned(), Value::Bool(true))).collect()
}

/// What a client is told of lists that may have changed.
fn changes(honoured: &Value) -> Vec<Bytes> {
    let told = LISTS.iter().filter(|(_, key, _)| honoured[key] == true);
    told.map(|(_, _, method)| Bytes::from(mcp::build::notification(method, None))).collect()
}

/// Whether the same may be answered otherwise in a while.
pub(super) fn passes(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// A server that cannot be reached may come back; one that refuses will go on refusing.
fn failed(response: Response<ReplyBody>) -> Joined {
    match passes(response.status()) {
        true => Joined::Later(Some(response)),
        false => Joined::Never(Some(response)),
    }
}

/// What stands before names of resources; here for those that listen to them.
pub(super) fn own_uri<'u>(seen: &'u str, prefix: &str) -> Option<&'u str> {
    Form::Uri.split(seen).filter(|(of, _)| *of == prefix).map(|(_, own)| own)
}

/// Capability, member of a subscription, notification.
pub(super) const LISTS: [(&str, &str, &str); 3] = [
    ("tools", "toolsListChanged", "notifications/tools/list_changed"),
    ("prompts", "promptsListChanged", "notifications/prompts/list_changed"),
    ("resources", "resourcesListChanged", "notifications/resources/list_changed"),
];
/// The longest pause between two attempts to hear a member.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);
