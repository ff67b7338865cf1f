//! Where each statement of a policy file begins and ends, and how deep it may be. It knows the lexical rules
//! of Cedar (strings, comments, semicolons), not its grammar: it is asked how deep a text is before Cedar
//! parses it, and for statements only after.

/// One policy or template, annotations included, without the blanks and comments before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// Byte offset of its first character.
    pub(crate) offset: usize,
    /// Its text, up to and including the semicolon.
    pub(crate) text: &'a str,
}

/// The statements of a policy file, in order.
pub(crate) fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut begin = None;
    for (at, character) in code(text).filter(|(_, character)| !character.is_whitespace()) {
        let offset = *begin.get_or_insert(at);
        if character == ';' {
            let statement = text.get(offset..=at).unwrap_or_default();
            found.push(Statement { offset, text: statement });
            begin = None;
        }
    }
    found
}

/// Where brackets are nested deeper than this for the first time.
pub(crate) fn deeper_than(text: &str, depth_max: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let place = code(text).find(|(_, character)| {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth_max < depth
    });
    place.map(|(at, _)| at)
}

/// Where a statement has more signs than this that make its condition deeper: those of operators, the full
/// stop, brackets of attributes, and words that begin a clause or a branch. What stands between commas
/// makes it only wider.
pub(crate) fn more_signs_than(text: &str, signs_max: usize) -> Option<usize> {
    let mut signs = 0_usize;
    let place = code(text).find(|(at, character)| {
        match character {
            ';' => signs = 0,
            '&' | '|' | '+' | '-' | '*' | '!' | '.' | '<' | '>' | '[' => signs += 1,
            'e' | 'w' | 'u' if begins_deeper(text.get(*at..).unwrap_or_default()) => signs += 1,
            _ => {}
        }
        signs_max < signs
    });
    place.map(|(at, _)| at)
}

fn begins_deeper(text: &str) -> bool {
    ["else", "when", "unless"].iter().any(|word| text.starts_with(word))
}

/// What stands neither in strings nor in comments.
fn code(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut state = State::Between;
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, character) = characters.next()?;
            let slash = characters.peek().is_some_and(|(_, next)| *next == '/');
            state = match (state, character) {
                (State::Comment, '\n' | '\r') => State::Between,
                (State::Comment, _) => State::Comment,
                (State::Text, '\\') => {
                    // Whatever follows the backslash cannot end the string.
                    characters.next();
                    State::Text
                }
                (State::Text, '"') => State::Between,
                (State::Text, _) => State::Text,
                (State::Between, '"') => State::Text,
                (State::Between, '/') if slash => State::Comment,
                (State::Between, _) => return Some((at, character)),
            };
        }
    })
}

#[derive(Debug, Clone, Copy)]
enum State {
    Between,
    Comment,
    Text,
}

#[cfg(test)]
mod tests {
    use super::{deeper_than, more_signs_than, statements};

    #[test]
    fn brackets_are_counted_where_they_count() {
        assert_eq!(deeper_than("((a))", 2), None);
        assert_eq!(deeper_than("([{", 2), Some(2));
        assert_eq!(deeper_than("()()[]{}", 1), None);
        assert_eq!(deeper_than("\"((\\\"((\" // ((\n(", 1), None);
    }

    #[test]
    fn signs_are_counted_for_each_statement() {
        assert_eq!(more_signs_than("a && b; c || d;", 2), None);
        assert_eq!(more_signs_than("a.b && \"&&&&\" else", 3), Some(14));
        assert_eq!(more_signs_than("[A::\"b\", A::\"c\"]", 1), None);
        assert_eq!(more_signs_than("a[\"b\"][\"c\"]", 1), Some(6));
        assert_eq!(more_signs_than("when { a } unless { b }", 1), Some(11));
    }

    #[test]
    fn strings_and_comments_hide_semicolons() {
        let text = "// permit(a);\n  @id(\"x;\\\";//\") permit (p, // ;\n a, r); //;\r\n\nforbid(é);@a(\"\\\\\")x; y";
        let found = statements(text);
        let texts: Vec<_> = found.iter().map(|statement| statement.text).collect();
        assert_eq!(
            texts,
            ["@id(\"x;\\\";//\") permit (p, // ;\n a, r);", "forbid(é);", "@a(\"\\\\\")x;"]
        );
        for statement in found {
            let rest = text.get(statement.offset..).unwrap();
            assert!(rest.starts_with(statement.text), "{statement:?}");
        }
    }

    #[test]
    fn nothing_is_no_statement() {
        assert!(statements("").is_empty());
        assert!(statements(" // only a comment; here\n").is_empty());
    }
}
