//! What the gateway says of its own state to those who watch over it: numbers and names from the
//! configuration, nothing of any call.

use crate::gateway::Gateway;
use crate::upstream::Upstream;
use std::time::Instant;

/// The state of a gateway at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Exchanges in progress, open streams included.
    pub exchanges: usize,
    /// Places for calls that are free.
    pub calls_free: usize,
    /// Actors whose quota is being counted.
    pub actors: usize,
    /// Each server, in the order of the configuration.
    pub servers: Vec<ServerState>,
}

/// The state of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name.
    pub name: String,
    /// Sessions kept.
    pub sessions: usize,
    /// Programs running; none for a server over HTTP.
    pub programs: usize,
    /// Whether the last call could not reach it, within the last ten seconds.
    pub unreachable: bool,
}

impl Gateway {
    /// The present state.
    #[must_use]
    pub fn state(&self) -> State {
        let (table, now) = (self.table.load(), Instant::now());
        State {
            exchanges: self.exchanges.len(),
            calls_free: self.calls.available_permits(),
            actors: table.backends.first().map_or(0, |backend| backend.actors.len()),
            servers: table
                .backends
                .iter()
                .map(|backend| ServerState {
                    name: backend.name().to_owned(),
                    sessions: backend.pipeline.sessions.len(),
                    programs: match &*backend.upstream {
                        Upstream::Stdio(bridge) => bridge.running(),
                        Upstream::Http(_) | Upstream::Sse(_) => 0,
                    },
                    unreachable: backend.pipeline.reach.is_unreachable(now),
                })
                .collect(),
        }
    }
}
