//! `traceparent` of W3C Trace Context, as callers write it. Reads strictly and believes nothing: what is
//! not exactly of the form is as if it were not there.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Reads `VERSION-TRACE_ID-PARENT_ID-FLAGS` (W3C Trace Context, section 3.2.2).
pub(crate) fn parse(text: &str) -> Option<SpanContext> {
    let (version, rest) = field(text, 2)?;
    let (trace, rest) = field(rest.strip_prefix('-')?, 32)?;
    let (span, rest) = field(rest.strip_prefix('-')?, 16)?;
    let (flags, rest) = field(rest.strip_prefix('-')?, 2)?;
    // Version 00 ends here; later ones may go on after a dash; ff is none.
    let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    if version == "ff" || !ends_well {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// So many lower-case hex digits, and what comes after.
fn field(text: &str, length: usize) -> Option<(&str, &str)> {
    let (field, rest) = text.split_at_checked(length)?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    field.bytes().all(hex).then_some((field, rest))
}

#[cfg(test)]
mod tests {
    use super::parse;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let context = parse(GOOD).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_remote() && context.is_sampled());
    }

    /// As [`GOOD`], of another version.
    fn version(version: &str) -> String {
        GOOD.replacen("00", version, 1)
    }

    #[test]
    fn later_versions_may_be_longer() {
        assert!(parse(&version("01")).is_some());
        assert!(parse(&format!("{}-more", version("01"))).is_some());
        assert!(parse(&format!("{}more", version("01"))).is_none());
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
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
