//! The servers behind the gateway, and which path leads to which. Knows paths and names, no requests.

use crate::backend::Backend;
use crate::federation::{Federation, Member};
use std::sync::Arc;

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum Route {
    /// To one server.
    Backend(Arc<Backend>),
    /// To one server, by HTTP+SSE: the stream, whose client sends to this path.
    Stream(Arc<Backend>, String),
    /// To one server, by HTTP+SSE: the messages of a client.
    Messages(Arc<Backend>),
    /// To all servers together.
    Federation(Arc<Federation>),
    /// To no server.
    Nowhere,
}

impl Route {
    /// The one server to which it leads.
    pub(crate) fn backend(&self) -> Option<&Arc<Backend>> {
        match self {
            Self::Backend(backend) | Self::Stream(backend, _) | Self::Messages(backend) => {
                Some(backend)
            }
            Self::Federation(_) | Self::Nowhere => None,
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
    /// `before` is what this table takes the place of.
    pub(crate) fn new(backends: Vec<Arc<Backend>>, path: String, before: Option<&Self>) -> Self {
        let member = |backend: &Arc<Backend>| Member {
            prefix: backend.definition.prefix.clone(),
            backend: Arc::clone(backend),
        };
        let members = backends.iter().map(member).collect();
        let federation = before.and_then(|before| before.federation.as_deref());
        let federation = Federation::new(members, federation).map(Arc::new);
        Self { backends, federation, path }
    }

    /// Where a request for this path goes.
    pub(crate) fn route(&self, path: &str) -> Route {
        if let Some(all) = self.federation.as_ref().filter(|_| path == self.path) {
            return Route::Federation(Arc::clone(all));
        }
        let (backend, before, last) = match &*self.backends {
            [only] if path == self.path => return Route::Backend(Arc::clone(only)),
            [only] if matches!(path, "/sse" | "/message") => (Some(only), "", path),
            _ => match server_of(path) {
                Some((name, before, last)) => {
                    (self.backends.iter().find(|b| b.name() == name), before, last)
                }
                None => return Route::Nowhere,
            },
        };
        match (backend, last) {
            (Some(backend), "/mcp") => Route::Backend(Arc::clone(backend)),
            (Some(backend), "/sse") => {
                Route::Stream(Arc::clone(backend), format!("{before}/message"))
            }
            (Some(backend), "/message") => Route::Messages(Arc::clone(backend)),
            _ => Route::Nowhere,
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

/// `NAME`, `/s/NAME` and `/mcp` of `/s/NAME/mcp`.
fn server_of(path: &str) -> Option<(&str, &str, &str)> {
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
