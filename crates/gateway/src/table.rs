//! The servers behind the gateway, and which path leads to which. Knows paths and names, no requests.

use crate::backend::Backend;
use std::sync::Arc;

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum Route {
    /// To one server.
    Backend(Arc<Backend>),
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
        let found = match &*self.backends {
            [only] if path == self.path => Some(only),
            _ => server_of(path).and_then(|name| self.backends.iter().find(|b| b.name() == name)),
        };
        found.map_or(Route::Nowhere, |backend| Route::Backend(Arc::clone(backend)))
    }

    /// The endpoints, for people who ask for another.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        match &*self.backends {
            [_] => vec![self.path.clone()],
            several => several.iter().map(|b| format!("/s/{}/mcp", b.name())).collect(),
        }
    }
}

/// The name in `/s/NAME/mcp`.
fn server_of(path: &str) -> Option<&str> {
    path.strip_prefix("/s/")?.strip_suffix("/mcp").filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn the_path_names_the_server() {
        assert_eq!(server_of("/s/crm-1/mcp"), Some("crm-1"));
        for path in ["/s/crm", "/mcp", "/s/a/b/mcp", "/S/a/mcp", "/s/a/mcp/"] {
            assert_eq!(server_of(path), None, "{path}");
        }
    }
}
