//! Reads an input as a list of instructions: numbers and pieces of bytes, front to back. It refuses
//! to fail: what is missing at the end is zero or empty, so that every input means something.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// The next two bytes, big-endian.
    pub(crate) fn number(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    /// One of `choices`, by the next byte.
    pub(crate) fn choose<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[usize::from(self.byte()) % choices.len()]
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        piece
    }

    /// Bytes whose number stands before them, in one byte.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.bytes(usize::from(count))
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Carries out instructions on bytes: overwrites, flips, cuts, insertions.
pub(crate) fn patch(bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    while !script.is_at_end() {
        let (kind, at) = (script.byte() % 4, usize::from(script.number()));
        let at = at % (bytes.len() + 1);
        match kind {
            0 => {
                for (to, from) in bytes[at..].iter_mut().zip(script.piece()) {
                    *to = *from;
                }
            }
            1 => {
                let bits = script.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            2 => {
                let end = bytes.len().min(at + usize::from(script.byte()));
                bytes.drain(at..end);
            }
            _ => {
                bytes.splice(at..at, script.piece().iter().copied());
            }
        }
    }
}
