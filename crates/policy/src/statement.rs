//! Where each statement of a policy file begins and ends. It knows the lexical rules of Cedar (strings,
//! comments, semicolons), not its grammar, and is asked only about texts that Cedar has parsed.

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
    let mut state = State::Between;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let comment = character == '/' && characters.peek().is_some_and(|(_, next)| *next == '/');
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
            (State::Between, _) if comment => State::Comment,
            (State::Between, _) if character.is_whitespace() => State::Between,
            (State::Between, _) => {
                let offset = *begin.get_or_insert(at);
                if character == ';' {
                    let statement = text.get(offset..=at).unwrap_or_default();
                    found.push(Statement { offset, text: statement });
                    begin = None;
                }
                if character == '"' { State::Text } else { State::Between }
            }
        };
    }
    found
}

#[derive(Debug, Clone, Copy)]
enum State {
    Between,
    Comment,
    Text,
}

#[cfg(test)]
mod tests {
    use super::statements;

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
