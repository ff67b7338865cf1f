//! Clients of HTTP+SSE, the transport of the revision 2024-11-05: one stream of events for everything
//! that the client hears, and an address of its own for everything it says. The stream is the session,
//! and belongs to whoever opened it. Messages go the way of all others: through a client in process.

use crate::asked::Origin;
use crate::body::ReplyBody;
use crate::carry::new_session_id;
use crate::client::{ClientEnd, ClientStream};
use crate::delegate::{Delegate, Kind};
use crate::endpoint::Endpoint;
use crate::inbound::Inbound;
use crate::lapse::{Identities, Lapse};
use crate::pipeline::{Caller, Pipeline, Received, known};
use crate::queue::Receiver;
use crate::refusal::{Cause, Refusal};
use crate::relay::event_stream_head;
use crate::session::{NoSession, Owner, handle_digest};
use crate::source::sse_event;
use bytes::Bytes;
use event::{Actor, Time, Transport};
use http::{Response, StatusCode};
use identity::Revocations;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The open streams of one endpoint, by digest of their session id. Each has a connection, so that the
/// bound on those is a bound on these.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<HashMap<String, Arc<Open>>>,
    /// For streams of other transports, which end likewise.
    identities: Identities,
}

#[derive(Debug)]
struct Open {
    owner: Owner,
    delegate: Arc<Delegate>,
    /// Calls in progress.
    slots: Arc<Semaphore>,
    /// What it was opened with does not count any more, or the gateway stops.
    ended: CancellationToken,
}

impl Streams {
    fn enter(&self, id: &[u8], owner: &Owner) -> Result<Arc<Open>, NoSession> {
        let streams = self.lock();
        let open = streams.get(&handle_digest(id)).ok_or(NoSession::Unknown)?;
        if open.owner != *owner {
            return Err(NoSession::OfAnother);
        }
        Ok(Arc::clone(open))
    }

    /// Ends all of them: who they were opened for was found out in a way that does not count any more.
    /// Their clients come back and are identified anew.
    pub(crate) fn end_all(&self) {
        for open in self.lock().values() {
            open.ended.cancel();
        }
        self.identities.change();
    }

    /// These revocations count from now on.
    pub(crate) fn heed(&self, revocations: &Arc<Revocations>) {
        self.identities.heed(revocations);
    }

    /// Until when a stream may last that is opened for this caller now.
    pub(crate) fn lapse(&self, actor: &Actor, now: Time) -> Lapse {
        self.identities.lapse(actor, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// Serves a stream of events for as long as it lasts; its end is that of the session. `path` is
    /// where its client sends.
    pub(crate) async fn serve_stream(&self, inbound: Inbound, path: &str, client: ClientEnd) {
        let (received, actor) = match self.identified(inbound, None).await {
            Ok(identified) => identified,
            Err(refused) => return client.answer(refused),
        };
        let Ok(id) = new_session_id() else {
            let cause = Cause::Overloaded("no random numbers for a session id");
            return client.answer(self.refused(cause, &received, Some(&actor)).await);
        };
        // Who it was opened for is settled: it is not asked again at the same moment.
        let received = Received { caller: Caller::Known(actor.clone()), ..received };
        let asked = match self.admit_stream(&received).await {
            Ok(asked) => asked,
            Err(refusal) => {
                self.refuse(&refusal, &received.origin).await;
                return client.answer(refusal.response());
            }
        };
        let lapse = self.streams().lapse(&actor, self.recorder().clock().now());
        let (owner, caller) = (Owner::of(&actor), Caller::Known(actor));
        let (delegate, queue) = Delegate::new(self.clone(), caller, received.origin);
        let slots = Arc::new(Semaphore::new(self.limits().session_calls_max));
        let ended = self.soft().child_token();
        let open = Open { owner, delegate: Arc::clone(&delegate), slots, ended: ended.clone() };
        let digest = handle_digest(id.as_bytes());
        self.streams().lock().insert(digest.clone(), Arc::new(open));
        if let Ok(stream) = client.stream(event_stream_head()) {
            let id = id.to_str().unwrap_or_default();
            let first = format!("event: endpoint\ndata: {path}?sessionId={id}\n\n");
            let patience = self.limits().write_timeout;
            tokio::select! {
                () = lapse.lapsed() => {}
                () = speak(stream, first.into(), queue, (&ended, patience)) => {}
            }
        }
        self.streams().lock().remove(&digest);
        delegate.close().await;
        if let Some(asked) = asked {
            self.end_stream(&asked).await;
        }
    }

    /// Takes a message for the session of a stream, where its answer will come.
    pub(crate) async fn take_message(
        &self,
        inbound: Inbound,
        session_id: Option<Vec<u8>>,
        client: ClientEnd,
    ) {
        let Inbound { headers, body, caller, .. } = inbound.clone();
        let (received, actor) = match self.identified(inbound, session_id).await {
            Ok(identified) => identified,
            Err(refused) => return client.answer(refused),
        };
        let id = received.session_id.as_deref().unwrap_or_default();
        let open = match self.streams().enter(id, &Owner::of(&actor)) {
            Ok(open) => open,
            Err(none) => {
                return client.answer(self.refused(none.into(), &received, Some(&actor)).await);
            }
        };
        let kind = Kind::of(&body, &self.limits().messages);
        let delegate = &open.delegate;
        let sender = (caller, received.origin.clone());
        let inbound = delegate.inbound(sender, headers, body);
        client.answer(match kind {
            Kind::Malformed => self.ask(inbound).await,
            Kind::Tells { .. } => {
                let taken = delegate.tell(inbound, &kind).await;
                if taken.status().is_success() { accepted() } else { taken }
            }
            Kind::Asks { .. } => match Arc::clone(&open.slots).try_acquire_owned() {
                Ok(slot) => {
                    self.exchanges().spawn(async move {
                        open.delegate.ask(inbound, &kind, &CancellationToken::new()).await;
                        drop(slot);
                    });
                    accepted()
                }
                Err(_) => {
                    let cause = Cause::Overloaded("too many calls of this session are in progress");
                    self.refused(cause, &received, Some(&actor)).await
                }
            },
        });
    }

    /// Who sends this; else the answer to it, after the record.
    async fn identified(
        &self,
        inbound: Inbound,
        session_id: Option<Vec<u8>>,
    ) -> Result<(Received, Actor), Response<ReplyBody>> {
        let (_, received) = inbound.into_received(self.recorder().call_id());
        let origin = Origin { transport: Transport::HttpSse, ..received.origin };
        let received = Received { origin, session_id, ..received };
        match Pipeline::identify(&received, None) {
            Ok(actor) => Ok((received, actor)),
            Err(refusal) => {
                self.refuse(&refusal, &received.origin).await;
                Err(refusal.response())
            }
        }
    }

    async fn refused(
        &self,
        cause: Cause,
        received: &Received,
        actor: Option<&Actor>,
    ) -> Response<ReplyBody> {
        let refusal = Refusal::new(cause, known(received, None, actor));
        self.refuse(&refusal, &received.origin).await;
        refusal.response()
    }
}

/// Writes what the client is to hear until it goes away, takes nothing for longer than `patience`, or the
/// gateway stops. A client that is slow to read is waited for until then, and so do its answers.
async fn speak(
    stream: ClientStream,
    first: Bytes,
    mut queue: Receiver<Bytes>,
    (stop, patience): (&CancellationToken, Duration),
) {
    let mut next = first;
    loop {
        let sent = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            sent = stream.send(next, patience) => sent,
        };
        if sent.is_err() {
            return;
        }
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = stream.gone() => return,
            message = queue.recv() => message,
        };
        let Some(message) = message else { return };
        next = sse_event(&message);
    }
}

fn accepted() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Bytes::from_static(b"Accepted")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
