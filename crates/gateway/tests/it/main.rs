//! A gateway on loopback between scripted clients and scripted servers. Every test looks at both
//! sides: what the client sees, and what the log holds afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod answers;
mod authorization;
mod batches;
mod beside;
mod bypass;
mod bytes;
mod certificates;
mod chains;
mod client;
mod correlation;
mod credentials;
mod disconnects;
mod eras;
mod event_stream;
mod federation;
mod fidelity;
mod floods;
mod headers;
mod hostile;
mod http2;
mod identities;
mod inventory;
mod limits;
mod messages;
mod outages;
mod outcomes;
mod proofs;
mod questions;
mod refusals;
mod rejoins;
mod reload;
mod revocation;
mod rig;
mod sessions;
mod shutdown;
mod skills;
mod smuggling;
mod sse_servers;
mod stalls;
mod stdio;
mod streams;
mod tasks;
mod tls;
mod trail;
mod unheard;
mod upstream;
mod upstream_tls;
mod wrap;
mod wrap_url;

use std::future::Future;
use std::time::Duration;

/// Waits for what must happen; a test that waits longer has failed.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("{what}: did not happen within {PATIENCE:?}");
    };
    done
}

const PATIENCE: Duration = Duration::from_secs(30);
