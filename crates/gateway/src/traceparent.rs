//! `traceparent` of W3C Trace Context, as callers write it. Reads strictly and believes nothing: what is
//! not exactly of the form is as if it were not there. Knows no tracer.

use std::fmt;

/// Which trace a call belongs to, and what in it is above the call (W3C Trace Context, section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

impl Traceparent {
    /// Reads `VERSION-TRACE_ID-PARENT_ID-FLAGS`; what later versions say after that is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = field(text, 2)?;
        let (trace_id, rest) = field(rest.strip_prefix('-')?, 32)?;
        let (parent_id, rest) = field(rest.strip_prefix('-')?, 16)?;
        let (flags, rest) = field(rest.strip_prefix('-')?, 2)?;
        // Version 00 ends here; later ones may go on after a dash; ff is none.
        let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
        if version == "ff" || !ends_well {
            return None;
        }
        let read = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            parent_id: u64::from_str_radix(parent_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (read.trace_id != 0 && read.parent_id != 0).then_some(read)
    }

    /// The trace; never zero.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// What is above the call in its trace; never zero.
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// The flags, all eight as they came.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }
}

/// As version 00 writes it.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// So many lower-case hex digits, and what comes after.
fn field(text: &str, length: usize) -> Option<(&str, &str)> {
    let (field, rest) = text.split_at_checked(length)?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    field.bytes().all(hex).then_some((field, rest))
}

#[cfg(test)]
mod tests {
    use super::Traceparent;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let read = Traceparent::parse(GOOD).unwrap();
        assert_eq!(read.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.parent_id(), read.flags()), (0xb7ad_6b71_6920_3331, 1));
        assert_eq!(read.to_string(), GOOD);
    }

    /// As [`GOOD`], of another version.
    fn version(version: &str) -> String {
        GOOD.replacen("00", version, 1)
    }

    #[test]
    fn later_versions_may_be_longer() {
        for later in [version("01"), format!("{}-more", version("01"))] {
            assert_eq!(Traceparent::parse(&later).unwrap().to_string(), GOOD);
        }
        assert!(Traceparent::parse(&format!("{}more", version("01"))).is_none());
    }

    #[test]
    fn what_is_not_of_the_form_is_not_there() {
        for bad in [
            "",
            "00",
            GOOD.trim_end_matches('1'),
            &format!("{GOOD}-more"),
            &GOOD.to_uppercase(),
            &version("ff"),
            &GOOD.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c8031\u{e9}-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(Traceparent::parse(bad).is_none(), "{bad}");
        }
    }
}
