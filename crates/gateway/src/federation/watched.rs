//! `resources/subscribe` and `resources/unsubscribe` of a session, for resources of stateless members: each
//! is a subscription of its own, whose notices go to the stream of the session, whichever that is at the
//! time. One that breaks off is begun again. Refuses to keep notices for later.

use super::current::Standing;
use super::hearing::{PAUSE_MAX, own_uri, passes};
use super::listen::taken;
use super::newer::Newer;
use super::opening::without_credentials;
use super::session::{Link, Session};
use super::stream::{Flow, Kind};
use super::subscribed::updated;
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::queue::{Bound, queue};
use crate::refusal::{Cause, json_response};
use bytes::Bytes;
use http::{Response, StatusCode};
use mcp::{Method, Request, RequestId};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A subscription, for as long as the client wants it.
struct Watch {
    current: Standing,
    /// Without its body, and without credentials: it may be kept as long as the session.
    whole: Whole,
    place: usize,
    /// The resource, as the client calls it.
    seen: String,
    session: Arc<Session>,
    stop: CancellationToken,
    /// The gateway stops, or serves other members.
    soft: CancellationToken,
    /// The least pause before it is begun again.
    least: Duration,
}

/// Why there is no subscription.
enum NotWatched {
    /// The member's answer.
    Refused(Response<ReplyBody>),
    /// It does not answer.
    Away,
    Cause(Cause),
}

impl Federation {
    /// Begins or ends a subscription at a stateless member.
    pub(super) async fn watch(
        &self,
        whole: &Whole,
        request: &Request<'_>,
        place: usize,
        link: &Link,
    ) -> Result<Response<ReplyBody>, Cause> {
        let session = whole.session.clone().ok_or(Cause::UnknownSession)?;
        let seen = request.params.uri.as_deref().ok_or(Cause::UnknownName)?.to_owned();
        if request.method == Method::ResourcesUnsubscribe {
            session.unwatch(&seen);
            return Ok(nothing(&request.id));
        }
        let flow = match self.flow_of(whole, place, link, &seen).await {
            Ok(flow) => flow,
            Err(NotWatched::Refused(refused)) => {
                let prefix = self.members.get(place).map(|member| member.prefix.as_str());
                return Ok(self.through(whole, prefix.unwrap_or_default(), refused).await);
            }
            Err(NotWatched::Away) => return Err(self.down(place)),
            Err(NotWatched::Cause(cause)) => return Err(cause),
        };
        let stop = session.watch(&seen).ok_or(Cause::Overloaded(FULL))?;
        let watch = Watch {
            current: self.standing(&whole.actor),
            whole: Whole {
                headers: without_credentials(&whole.headers),
                body: Bytes::new(),
                ..whole.clone()
            },
            place,
            seen,
            session,
            stop,
            soft: self.stops.soft.clone(),
            least: self.limits.member_retry,
        };
        self.exchanges.spawn(watch.run(flow));
        Ok(nothing(&request.id))
    }

    /// Asks a member for a subscription, within the time for members.
    async fn flow_of(
        &self,
        whole: &Whole,
        place: usize,
        link: &Link,
        seen: &str,
    ) -> Result<Flow, NotWatched> {
        let unknown = |cause: Cause| NotWatched::Cause(cause);
        let session = whole.session.as_ref().ok_or_else(|| unknown(Cause::UnknownSession))?;
        let member = self.members.get(place).ok_or_else(|| unknown(Cause::UnknownName))?;
        let own = own_uri(seen, &member.prefix).ok_or_else(|| unknown(Cause::UnknownName))?;
        let id = session.next_id();
        let newer = Newer::of(&session.opening, None);
        let wanted = json!({"resourceSubscriptions": [own]});
        let part = whole.listening(&newer, &id, &link.revision, &wanted);
        let part = part.ok_or_else(|| unknown(Cause::UnknownName))?;
        let limit = self.limits.reply_bytes_max;
        let asked =
            async { taken(member.backend.ask_single(part).await, &member.prefix, limit).await };
        let subscription = match tokio::time::timeout(self.limits.member_timeout, asked).await {
            Ok(Ok(subscription)) => subscription,
            Ok(Err(Some(refused))) => return Err(NotWatched::Refused(refused)),
            Ok(Err(None)) | Err(_) => return Err(NotWatched::Away),
        };
        let honoured = subscription.honoured.get("resourceSubscriptions");
        let honoured = honoured.and_then(serde_json::Value::as_array);
        if !honoured.is_some_and(|uris| uris.iter().any(|uri| uri == seen)) {
            return Err(NotWatched::Cause(Cause::OtherEra(UNWATCHED)));
        }
        let kind = Kind::Subscribed(Some(id));
        Ok(Flow { events: subscription.events, prefix: member.prefix.clone(), kind })
    }
}

impl Watch {
    /// Passes notices on, and begins again whenever the member's stream ends, until the client does not
    /// want it any more.
    async fn run(self, first: Flow) {
        let over = async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.soft.cancelled() => {}
            }
        };
        tokio::select! {
            biased;
            () = over => {}
            () = self.pass_for_ever(first) => self.session.unwatched(&self.seen, &self.stop),
        }
    }

    async fn pass_for_ever(&self, first: Flow) {
        let mut flow = first;
        loop {
            pass(flow, &self.session).await;
            flow = match self.again().await {
                Some(again) => again,
                None => return,
            };
            // What changed meanwhile nobody told.
            self.session.tell(updated(&self.seen)).await;
        }
    }

    /// The subscription in its next life; `None` when the member does not want it any more.
    async fn again(&self) -> Option<Flow> {
        let mut pause = self.least;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if !self.session.is_heard() {
                // Nobody is there to be told, so nothing is asked in anybody's name.
                continue;
            }
            let federation = self.current.upgrade()?;
            let Some(link) = federation.link(&self.whole, self.place).await else { continue };
            match federation.flow_of(&self.whole, self.place, &link, &self.seen).await {
                Ok(flow) => return Some(flow),
                Err(NotWatched::Refused(refused)) if !passes(refused.status()) => {
                    return None;
                }
                Err(NotWatched::Refused(_) | NotWatched::Away) => {}
                Err(NotWatched::Cause(_)) => return None,
            }
        }
    }
}

/// Passes notices on to the stream that the session has, until the end of the member's.
async fn pass(flow: Flow, session: &Session) {
    let (chunks, mut waiting) = queue(NOTICES);
    let forward = async {
        while let Some(Ok(chunk)) = waiting.recv().await {
            session.tell(chunk).await;
        }
    };
    let flow = async move { drop(flow.run(&chunks).await) };
    tokio::join!(flow, forward);
}

fn nothing(id: &RequestId) -> Response<ReplyBody> {
    json_response(StatusCode::OK, super::opening::result_message(id, &json!({})))
}

/// Notices of one subscription that wait for the stream of their session.
const NOTICES: Bound = Bound { items: 1, bytes: 1 };
const UNWATCHED: &str = "the server does not tell of changes of this resource";
const FULL: &str = "too many subscriptions of this session";
