//! Resources that the client of a session has subscribed to at members which have sessions too: such a
//! member forgets them with its session, so they are subscribed to again in the next one. Refuses to know
//! what is told of them.

use super::ask::collect;
use super::discover::result_of;
use super::hearing::{PAUSE_MAX, passes};
use super::names::Form;
use super::session::Link;
use super::stream::is_stream;
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::source::sse_event;
use bytes::Bytes;
use http::{Method as HttpMethod, Response};
use mcp::edit::quoted;
use mcp::{Method, Request};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The resources of one session, by the prefix of their member, as the member calls them.
#[derive(Debug)]
pub(crate) struct Subscribed {
    by_prefix: Mutex<BTreeMap<String, BTreeSet<String>>>,
    uris_max: usize,
}

impl Subscribed {
    pub(super) fn new(uris_max: usize) -> Self {
        Self { by_prefix: Mutex::default(), uris_max }
    }

    /// Beyond the bound, a subscription ends with the member's session.
    fn add(&self, prefix: &str, uri: &str) {
        let mut by_prefix = self.lock();
        if by_prefix.values().map(BTreeSet::len).sum::<usize>() < self.uris_max {
            by_prefix.entry(prefix.to_owned()).or_default().insert(uri.to_owned());
        }
    }

    fn remove(&self, prefix: &str, uri: &str) {
        if let Some(uris) = self.lock().get_mut(prefix) {
            uris.remove(uri);
        }
    }

    fn has(&self, prefix: &str, uri: &str) -> bool {
        self.lock().get(prefix).is_some_and(|uris| uris.contains(uri))
    }

    fn of(&self, prefix: &str) -> Vec<String> {
        self.lock().get(prefix).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.by_prefix.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Federation {
    /// Notes what a member answered to `resources/subscribe` or `resources/unsubscribe`; other answers
    /// pass. One that comes as a stream is taken for a result.
    pub(super) async fn note_subscription(
        &self,
        whole: &Whole,
        request: &Request<'_>,
        (prefix, own): (&str, &str),
        response: Response<ReplyBody>,
    ) -> Response<ReplyBody> {
        let subscribes = match request.method {
            Method::ResourcesSubscribe => true,
            Method::ResourcesUnsubscribe => false,
            _ => return response,
        };
        let Some(session) = &whole.session else { return response };
        let streams = is_stream(&response);
        let (parts, mut body) = response.into_parts();
        let mut is_done = streams;
        if !streams {
            let answer = collect(body, self.limits.reply_bytes_max).await.unwrap_or_default();
            is_done = result_of(&answer).is_some();
            body = ReplyBody::whole(answer);
        }
        match (is_done, subscribes) {
            (true, true) => session.subscribed.add(prefix, own),
            (false, true) => {}
            // Whatever the member says of it: the client does not want it any more.
            (_, false) => session.subscribed.remove(prefix, own),
        }
        Response::from_parts(parts, body)
    }

    /// Subscribes to a resource in the session with a member. `None` when it does not answer, or not now.
    pub(super) async fn subscribe_to(
        &self,
        (whole, place): (&Whole, usize),
        link: &Link,
        uri: &str,
    ) -> Option<bool> {
        let (id, uri) = (whole.session.as_ref()?.next_id(), quoted(uri));
        let body = Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/subscribe","params":{{"uri":{uri}}}}}"#
        ));
        let part = whole.part(HttpMethod::POST, whole.headers_on(link, None), body);
        let answers = self.ask_each(vec![(place, part)], Some(&id)).await;
        let answer = answers.first()?.1.as_ref().filter(|answer| !passes(answer.status))?;
        Some(result_of(&answer.message).is_some())
    }

    /// Subscribes in a new session with a member to what was subscribed to in the last one, beside what
    /// the client asks meanwhile.
    pub(super) fn subscribe_again(&self, whole: &Whole, place: usize, link: &Link) {
        let (Some(session), Some(member)) = (whole.session.clone(), self.members.get(place)) else {
            return;
        };
        let (prefix, link) = (member.prefix.clone(), link.clone());
        let uris = session.subscribed.of(&prefix);
        if uris.is_empty() {
            return;
        }
        let whole = Whole { body: Bytes::new(), ..whole.within(session.clone()) };
        let (current, soft) = (self.standing(&whole.actor), self.stops.soft.clone());
        let (over, least) = (session.ending(), self.limits.member_retry);
        let again = async move {
            let mut pause = least;
            for uri in uris {
                for _ in 0..TRIES_MAX {
                    // The client may have unsubscribed meanwhile.
                    if !session.subscribed.has(&prefix, &uri) {
                        break;
                    }
                    let Some(federation) = current.upgrade() else { return };
                    match federation.subscribe_to((&whole, place), &link, &uri).await {
                        Some(true) => {
                            session.tell(updated(&Form::Uri.join(&prefix, &uri))).await;
                            break;
                        }
                        // It does not know it any more, or does not let it be subscribed to.
                        Some(false) => session.subscribed.remove(&prefix, &uri),
                        None => {
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(PAUSE_MAX);
                        }
                    }
                }
            }
        };
        self.exchanges.spawn(async move {
            tokio::select! {
                biased;
                () = soft.cancelled() => {}
                () = over.cancelled() => {}
                () = again => {}
            }
        });
    }
}

/// How often a subscription is asked for again where the member does not answer, or not now.
const TRIES_MAX: usize = 5;

/// Tells that a resource may have changed, as an event.
pub(super) fn updated(seen: &str) -> Bytes {
    let params = serde_json::value::to_raw_value(&json!({"uri": seen})).ok();
    let method = Method::NotificationsResourcesUpdated;
    sse_event(&Bytes::from(mcp::build::notification(method.name(), params.as_deref())))
}

#[cfg(test)]
mod tests {
    use super::{Subscribed, updated};

    #[test]
    fn subscriptions_are_remembered_within_a_bound() {
        let subscribed = Subscribed::new(2);
        for (prefix, uri) in [("a", "x:1"), ("a", "x:1"), ("b", "x:2"), ("b", "x:3")] {
            subscribed.add(prefix, uri);
        }
        assert_eq!(
            (subscribed.of("a"), subscribed.of("b")),
            (vec!["x:1".into()], vec!["x:2".into()])
        );
        subscribed.remove("a", "x:1");
        subscribed.add("b", "x:3");
        assert!(subscribed.of("a").is_empty());
        assert_eq!(subscribed.of("b"), ["x:2", "x:3"]);
    }

    #[test]
    fn a_resource_that_may_have_changed_is_named_as_the_client_knows_it() {
        let event = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\
            \"notifications/resources/updated\",\"params\":{\"uri\":\"a+x:1\"}}\n\n";
        assert_eq!(updated("a+x:1"), event);
    }
}
