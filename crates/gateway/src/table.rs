//! The servers behind the gateway, and which path leads to which. Knows paths and names, no requests.

use crate::backend::Backend;
use crate::endpoint::Endpoint;
use crate::event_stream::Streams;
use crate::federation::{Federation, Member};
use crate::observer::Observer;
use identity::Revocations;
use std::sync::Arc;

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum Route {
    /// To one server.
    Backend(Arc<Backend>),
    /// To all servers together.
    Federation(Arc<Federation>),
    /// By HTTP+SSE: the stream, whose client sends to this path.
    Stream(Endpoint, String),
    /// By HTTP+SSE: the messages of a client.
    Messages(Endpoint),
    /// To no server.
    Nowhere,
}

impl Route {
    /// Whoever answers there.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Backend(backend) => Some(Endpoint::One(Arc::clone(backend))),
            Self::Federation(all) => Some(Endpoint::All(Arc::clone(all))),
            Self::Stream(endpoint, _) | Self::Messages(endpoint) => Some(endpoint.clone()),
            Self::Nowhere => None,
        }
    }

    /// The methods that are served there, as the header `Allow` has them.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Backend(_) | Self::Federation(_) => "GET, POST, DELETE",
            Self::Stream(..) => "GET",
            Self::Messages(_) => "POST",
            Self::Nowhere => "",
        }
    }
}

/// All servers of a gateway.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the configuration; at least one, each name once.
    pub(crate) backends: Vec<Arc<Backend>>,
    /// All of them together, when there are several.
    pub(crate) federation: Option<Arc<Federation>>,
    /// The path that is the only server's own, or that of all together.
    path: String,
}

impl Table {
    /// Ends every stream of HTTP+SSE, and what would be joined again for those who listen to all servers:
    /// who that was for was found out in a way that does not count any more.
    pub(crate) fn end_event_streams(&self) {
        let alone = self.backends.iter().map(|backend| &*backend.streams);
        let together = self.federation.iter().map(|federation| federation.streams());
        alone.chain(together).for_each(Streams::end_all);
        self.federation.iter().for_each(|federation| federation.change_identities());
    }

    /// Whatever stays open from now on ends when these say so.
    pub(crate) fn heed(&self, revocations: &Arc<Revocations>) {
        self.backends.iter().for_each(|backend| backend.streams.heed(revocations));
        self.federation.iter().for_each(|federation| federation.heed(revocations));
    }

    /// `before` is what this table takes the place of.
    pub(crate) fn new(
        backends: Vec<Arc<Backend>>,
        path: String,
        observer: &Arc<dyn Observer>,
        before: Option<&Self>,
    ) -> Self {
        let member = |backend: &Arc<Backend>| Member {
            prefix: backend.definition.prefix.clone(),
            backend: Arc::clone(backend),
        };
        let members = backends.iter().map(member).collect();
        let federation = before.and_then(|before| before.federation.as_deref());
        let federation = Federation::new(members, observer, federation);
        Self { backends, federation, path }
    }

    /// Where a request for this path goes.
    pub(crate) fn route(&self, path: &str) -> Route {
        if let Some(all) = self.federation.as_ref() {
            if path == self.path {
                return Route::Federation(Arc::clone(all));
            }
            if matches!(path, "/sse" | "/message") {
                return by_events(Endpoint::All(Arc::clone(all)), "", path);
            }
        }
        match &*self.backends {
            [only] if path == self.path => return Route::Backend(Arc::clone(only)),
            [only] if matches!(path, "/sse" | "/message") => {
                return by_events(Endpoint::One(Arc::clone(only)), "", path);
            }
            _ => {}
        }
        let Some((name, before, last)) = server_of(path) else { return Route::Nowhere };
        match self.backends.iter().find(|backend| backend.name() == name) {
            Some(backend) if last == "/mcp" => Route::Backend(Arc::clone(backend)),
            Some(backend) => by_events(Endpoint::One(Arc::clone(backend)), before, last),
            None => Route::Nowhere,
        }
    }

    /// The endpoints, for people who ask for another.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        match &*self.backends {
            [_] => vec![self.path.clone()],
            several => {
                let own = several.iter().map(|b| format!("/s/{}/mcp", b.name()));
                std::iter::once(self.path.clone()).chain(own).collect()
            }
        }
    }
}

/// The two addresses of HTTP+SSE.
fn by_events(endpoint: Endpoint, before: &str, last: &str) -> Route {
    match last {
        "/sse" => Route::Stream(endpoint, format!("{before}/message")),
        "/message" => Route::Messages(endpoint),
        _ => Route::Nowhere,
    }
}

/// `NAME`, `/s/NAME` and `/mcp` of `/s/NAME/mcp`.
pub(crate) fn server_of(path: &str) -> Option<(&str, &str, &str)> {
    let (before, last) = path.split_at(path.rfind('/')?);
    let name = before.strip_prefix("/s/").filter(|name| !name.contains('/'))?;
    Some((name, before, last))
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn the_path_names_the_server() {
        assert_eq!(server_of("/s/crm-1/mcp"), Some(("crm-1", "/s/crm-1", "/mcp")));
        for path in ["/s/crm", "/mcp", "/s/a/b/mcp", "/S/a/mcp", "/s/a/mcp/", ""] {
            assert_eq!(server_of(path), None, "{path}");
        }
    }
}
