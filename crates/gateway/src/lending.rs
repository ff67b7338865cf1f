//! The credential of the gateway that a call goes to its server with: got after the call is permitted and on
//! record, before anything is sent. It never sees one; `broker` does.

use crate::asked::Asked;
use crate::backend::Backend;
use crate::client::ClientEnd;
use crate::exchange::{End, Exchange};
use crate::failure::Failure;
use crate::pipeline::Caller;
use crate::upstream::http::SendError;
use audit::{Clock, Recorder};
use broker::{Borrower, Entry, Ledger, Lender, Recording, Refused};
use event::{Actor, Event};
use std::sync::Arc;

/// Who lends credentials for one server.
#[derive(Debug)]
pub(crate) struct Lending {
    lender: Arc<Lender>,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
}

/// The log, as far as the issue of credentials goes.
#[derive(Debug)]
struct OnRecord(Recorder);

impl Ledger for OnRecord {
    fn record(&self, entry: Entry) -> Recording<'_> {
        Box::pin(async move {
            let stamp = self.0.stamp(None, None);
            let event = Event::credential(stamp, entry.kind, entry.actor, entry.details);
            self.0.record(&event).await.map(drop).map_err(|error| error.to_string())
        })
    }
}

impl Lending {
    pub(crate) fn new(lender: Arc<Lender>, recorder: &Recorder) -> Self {
        let ledger = Arc::new(OnRecord(recorder.clone()));
        Self { lender, ledger, clock: recorder.clock() }
    }

    /// Gets the credential for a call of this caller, which goes with everything that is sent on behalf of
    /// the call.
    pub(crate) async fn lend(&self, asked: &Asked, caller: &Caller) -> Result<(), Refused> {
        let borrower = Borrower {
            call: asked.call,
            actor: match caller {
                Caller::Known(actor) => actor.clone(),
                Caller::Stranger(_) => Actor::anonymous(),
            },
            policy_set: asked.permit.decision().policy_set.clone(),
        };
        let lent = self.lender.lend(&borrower, &self.ledger, self.clock.now()).await?;
        // The one that is there already is as good.
        asked.lent.set(lent).ok();
        Ok(())
    }
}

impl Backend {
    /// Gives an exchange the credential that its server wants; an exchange without one ends here, and nothing
    /// is sent.
    pub(crate) async fn lend_to<'g>(
        &self,
        exchange: Box<Exchange<'g>>,
        caller: &Caller,
        mut client: ClientEnd,
    ) -> Option<(Box<Exchange<'g>>, ClientEnd)> {
        // A program was given its credential when it started.
        let starts = exchange.session.is_none();
        let Some(lending) = self.lending.as_ref().filter(|_| starts || self.upstream.is_remote())
        else {
            return Some((exchange, client));
        };
        let about = Arc::clone(&exchange.about);
        let lent = tokio::select! {
            biased;
            () = exchange.stop.cancelled() => None,
            () = client.gone() => Some(None),
            lent = lending.lend(&about, caller) => Some(Some(lent)),
        };
        let mut exchange = exchange;
        match lent {
            None => exchange.stopped(client).await,
            Some(None) => exchange.finish(End::Gone).await,
            Some(Some(Ok(()))) => return Some((exchange, client)),
            Some(Some(Err(_))) => {
                exchange.fail(client, &Failure::from(&SendError::NoCredential)).await;
            }
        }
        None
    }
}
