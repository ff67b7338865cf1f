//! The words for kinds of items, in events, files and on the command line. It refuses to know what an
//! item holds.

use mcp::ListKind;

/// The word for one item of this list.
#[must_use]
pub fn kind_word(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Tools => "tool",
        ListKind::Prompts => "prompt",
        ListKind::Resources => "resource",
        ListKind::ResourceTemplates => "resource-template",
    }
}

/// The kind with this word.
#[must_use]
pub fn kind_from_word(word: &str) -> Option<ListKind> {
    ListKind::ALL.into_iter().find(|kind| kind_word(*kind) == word)
}
