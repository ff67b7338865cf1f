//! JSON as the grammar says and nothing else (RFC 8259): a naive parser that builds a tree, to
//! compare the clever ones with. It refuses to be fast.

/// A value; numbers as they were written, texts in UTF-16 because half a pair is good grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(Vec<u16>),
    List(Vec<Self>),
    Map(Vec<(Vec<u16>, Self)>),
}

impl Json {
    /// Reads a body; `None` if it is not JSON or nested deeper than `depth_max`.
    pub(crate) fn parse(text: &str, depth_max: usize) -> Option<Self> {
        let mut parser = Parser { rest: text };
        let value = parser.value(depth_max)?;
        parser.blanks();
        parser.rest.is_empty().then_some(value)
    }

    /// The first member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let member = self.members().iter().find(|(key, _)| same(key, name))?;
        Some(&member.1)
    }

    /// How many members have this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.members().iter().filter(|(key, _)| same(key, name)).count()
    }

    pub(crate) fn members(&self) -> &[(Vec<u16>, Self)] {
        if let Self::Map(members) = self { members } else { &[] }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The first member of this name, to be changed.
    pub(crate) fn member(&mut self, name: &str) -> &mut Self {
        let Self::Map(members) = self else { panic!("`{name}` is looked for in no object") };
        let member = members.iter_mut().find(|(key, _)| same(key, name));
        &mut member.expect("a member that was read").1
    }

    /// The elements, to be changed.
    pub(crate) fn items_mut(&mut self) -> &mut Vec<Self> {
        let Self::List(items) = self else { panic!("elements are looked for in no array") };
        items
    }

    /// Whether this is exactly this text.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        matches!(self, Self::Text(units) if same(units, text))
    }

    /// The text, if it is one and of whole characters.
    pub(crate) fn text(&self) -> Option<String> {
        if let Self::Text(units) = self { String::from_utf16(units).ok() } else { None }
    }

    /// Whether this object itself names a key twice.
    pub(crate) fn has_twin_keys(&self) -> bool {
        let mut keys: Vec<_> = self.members().iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Whether any object in here names a key twice.
    pub(crate) fn has_twin_keys_anywhere(&self) -> bool {
        self.has_twin_keys()
            || self.members().iter().any(|(_, value)| value.has_twin_keys_anywhere())
            || self.items().iter().any(Self::has_twin_keys_anywhere)
    }
}

fn same(units: &[u16], text: &str) -> bool {
    text.encode_utf16().eq(units.iter().copied())
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth_left: usize) -> Option<Json> {
        self.blanks();
        match self.rest.as_bytes().first()? {
            b'{' => self.map(depth_left.checked_sub(1)?),
            b'[' => self.list(depth_left.checked_sub(1)?),
            b'"' => self.text().map(Json::Text),
            b't' => self.eat("true").then_some(Json::Bool(true)),
            b'f' => self.eat("false").then_some(Json::Bool(false)),
            b'n' => self.eat("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    fn map(&mut self, depth_left: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.eat("{");
        if self.next("}") {
            return Some(Json::Map(members));
        }
        loop {
            self.blanks();
            let key = self.text()?;
            if !self.next(":") {
                return None;
            }
            members.push((key, self.value(depth_left)?));
            if self.next("}") {
                return Some(Json::Map(members));
            }
            if !self.next(",") {
                return None;
            }
        }
    }

    fn list(&mut self, depth_left: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.eat("[");
        if self.next("]") {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth_left)?);
            if self.next("]") {
                return Some(Json::List(items));
            }
            if !self.next(",") {
                return None;
            }
        }
    }

    fn text(&mut self) -> Option<Vec<u16>> {
        let mut units = Vec::new();
        if !self.eat("\"") {
            return None;
        }
        loop {
            match self.character()? {
                '"' => return Some(units),
                '\0'..='\u{1f}' => return None,
                '\\' => units.push(self.escape()?),
                plain => units.extend_from_slice(plain.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.character()? {
            '"' => 0x22,
            '\\' => 0x5c,
            '/' => 0x2f,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    unit = unit << 4 | u16::try_from(self.character()?.to_digit(16)?).ok()?;
                }
                unit
            }
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.rest;
        self.eat("-");
        if !self.eat("0") && self.digits() == 0 {
            return None;
        }
        if self.eat(".") && self.digits() == 0 {
            return None;
        }
        if self.eat("e") || self.eat("E") {
            let _signed = self.eat("+") || self.eat("-");
            if self.digits() == 0 {
                return None;
            }
        }
        Some(Json::Number(start[..start.len() - self.rest.len()].to_owned()))
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let count = self.rest.len() - rest.len();
        self.rest = rest;
        count
    }

    fn character(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn next(&mut self, wanted: &str) -> bool {
        self.blanks();
        self.eat(wanted)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}
