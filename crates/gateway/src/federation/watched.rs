//! `resources/subscribe` and `resources/unsubscribe` of a session, for resources of stateless members: each
//! is a subscription of its own, whose notices go to the stream of the session, whichever that is at the
//! time. Refuses to keep notices for later.

use super::hearing::own_uri;
use super::listen::taken;
use super::newer::Newer;
use super::session::{Link, Session};
use super::stream::{Flow, Kind};
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::queue::{Bound, queue};
use crate::refusal::{Cause, json_response};
use http::{Response, StatusCode};
use mcp::{Method, Request, RequestId};
use serde_json::json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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
        let member = self.members.get(place).ok_or(Cause::UnknownName)?;
        let own = own_uri(&seen, &member.prefix).ok_or(Cause::UnknownName)?;
        let id = session.next_id();
        let newer = Newer::of(&session.opening, None);
        let wanted = json!({"resourceSubscriptions": [own]});
        let part = whole.listening(&newer, &id, &link.revision, &wanted);
        let part = part.ok_or(Cause::UnknownName)?;
        let asked = async {
            taken(
                member.backend.ask_single(part).await,
                &member.prefix,
                self.limits.reply_bytes_max,
            )
            .await
        };
        let subscription = match tokio::time::timeout(self.limits.member_timeout, asked).await {
            Ok(Ok(subscription)) => subscription,
            Ok(Err(Some(refused))) => {
                return Ok(self.through(whole, &member.prefix, refused).await);
            }
            Ok(Err(None)) | Err(_) => return Err(self.down(place)),
        };
        let honoured = subscription.honoured.get("resourceSubscriptions");
        let honoured = honoured.and_then(serde_json::Value::as_array);
        if !honoured.is_some_and(|uris| uris.iter().any(|uri| uri == seen.as_str())) {
            return Err(Cause::OtherEra(UNWATCHED));
        }
        let stop = session.watch(&seen).ok_or(Cause::Overloaded(FULL))?;
        let kind = Kind::Subscribed(Some(id));
        let flow = Flow { events: subscription.events, prefix: member.prefix.clone(), kind };
        self.exchanges.spawn(pass(flow, session, stop));
        Ok(nothing(&request.id))
    }
}

/// Passes notices on to the stream that the session has, until the end of either.
async fn pass(flow: Flow, session: Arc<Session>, stop: CancellationToken) {
    let (chunks, mut waiting) = queue(NOTICES);
    let forward = async {
        while let Some(Ok(chunk)) = waiting.recv().await {
            if let Some(hearer) = session.hearer() {
                // A client that does not listen now hears nothing.
                hearer.send(Ok(chunk)).await.ok();
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        _ = flow.run(&chunks) => {}
        () = forward => {}
    }
}

fn nothing(id: &RequestId) -> Response<ReplyBody> {
    json_response(StatusCode::OK, super::opening::result_message(id, &json!({})))
}

/// Notices of one subscription that wait for the stream of their session.
const NOTICES: Bound = Bound { items: 1, bytes: 1 };
const UNWATCHED: &str = "the server does not tell of changes of this resource";
const FULL: &str = "too many subscriptions of this session";
