//! Names on the aggregated endpoint: what belongs to a server carries its prefix, so that a name never
//! depends on which other servers there are. Knows no messages.

/// How a prefix stands before what a server calls something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `PREFIX__name`, for tools and prompts: letters and underscores are what names may hold.
    Name,
    /// `PREFIX+uri`, for resources and templates: `+` may stand in a scheme (RFC 3986, 3.1), so the
    /// URI stays one.
    Uri,
    /// `PREFIX:id`, for tasks, for requests of servers and for events of streams.
    Id,
}

impl Form {
    /// The name on the aggregated endpoint.
    pub(crate) fn join(self, prefix: &str, own: &str) -> String {
        [prefix, self.separator(), own].concat()
    }

    /// Prefix and the server's own name; `None` when there is no prefix. A prefix holds none of the
    /// separators, so the first one ends it.
    pub(crate) fn split(self, name: &str) -> Option<(&str, &str)> {
        name.split_once(self.separator()).filter(|(prefix, _)| is_prefix(prefix))
    }

    fn separator(self) -> &'static str {
        match self {
            Self::Name => "__",
            Self::Uri => "+",
            Self::Id => ":",
        }
    }
}

/// Whether a text can be a prefix: a lower-case letter, then lower-case letters, digits and `-`, 32 at
/// most.
pub(crate) fn is_prefix(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    text.len() <= PREFIX_BYTES_MAX
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.bytes().all(inner)
}

/// Bytes of a prefix: clients bound the length of names, and the server's own needs room.
pub(super) const PREFIX_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::{Form, is_prefix};

    #[test]
    fn what_is_joined_comes_apart_again() {
        for form in [Form::Name, Form::Uri, Form::Id] {
            for own in ["echo", "_echo", "__", "a__b", "file:///a+b:c", "+", ":", ""] {
                let joined = form.join("crm-1", own);
                assert_eq!(form.split(&joined), Some(("crm-1", own)), "{joined}");
            }
        }
    }

    #[test]
    fn names_without_prefix_belong_to_nobody() {
        for name in ["echo", "__echo", "Crm__echo", "c_rm__echo", "", "crm_echo"] {
            assert_eq!(Form::Name.split(name), None, "{name}");
        }
        assert_eq!(Form::Uri.split("file:///a"), None);
    }

    #[test]
    fn prefixes_are_plain() {
        assert!(["a", "crm-1", "x9"].into_iter().all(is_prefix));
        assert!(!["", "9x", "-a", "A", "a_b", "a+b", "a:b", "é"].into_iter().any(is_prefix));
        assert!(!is_prefix(&"a".repeat(33)));
    }
}
