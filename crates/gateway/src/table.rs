//! The servers behind the gateway, and which path leads to which. Knows paths and names, no requests.

use crate::backend::Backend;
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
    /// To no server.
    Nowhere,
}

/// All servers of a gateway.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the configuration; at least one, each name once.
    pub(crate) backends: Vec<Arc<Backend>>,
    /// The path that is the only server's own.
    path: String,
}

impl Table {
    pub(crate) fn new(backends: Vec<Arc<Backend>>, path: String) -> Self {
        Self { backends, path }
    }

    /// Where a request for this path goes.
    pub(crate) fn route(&self, path: &str) -> Route {
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
            several => several.iter().map(|b| format!("/s/{}/mcp", b.name())).collect(),
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
