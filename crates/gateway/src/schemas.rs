//! Which arguments of which tools a server wants mirrored in headers (2026-07-28, `x-mcp-header`), as
//! seen in its lists. It knows names and paths; what it has not seen it does not judge.

use mcp::header::{ParamHeader, param_headers};
use mcp::reply::ListedTool;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Tools remembered; more are not.
const TOOLS_MAX: usize = 10_000;

/// The annotated arguments of each tool, as the latest list has them.
#[derive(Debug, Default)]
pub(crate) struct Schemas(RwLock<HashMap<String, Arc<[ParamHeader]>>>);

impl Schemas {
    /// Remembers what a list says.
    pub(crate) fn learn(&self, tools: &[ListedTool<'_>]) {
        if tools.is_empty() {
            return;
        }
        let mut by_tool = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for tool in tools {
            let Some(name) = tool.name.as_deref() else { continue };
            // Most schemas have none, and need no closer look.
            let is_annotated = memchr::memmem::find(tool.raw.as_bytes(), b"x-mcp-header").is_some();
            let params = if is_annotated { param_headers(tool.raw) } else { Vec::new() };
            if params.is_empty() {
                by_tool.remove(name);
            } else if by_tool.len() < TOOLS_MAX || by_tool.contains_key(name) {
                by_tool.insert(name.to_owned(), params.into());
            }
        }
    }

    /// The annotated arguments of a tool; none for one that was not seen.
    pub(crate) fn of(&self, tool: &str) -> Option<Arc<[ParamHeader]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tool).cloned()
    }
}
