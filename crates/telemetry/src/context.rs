//! `traceparent` of W3C Trace Context, which the gateway reads, in the words of OpenTelemetry. Believes
//! nothing: what is not exactly of the form is as if it were not there.

use gateway::Traceparent;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// What a caller wrote, as the context of its span.
pub(crate) fn parse(text: &str) -> Option<SpanContext> {
    let read = Traceparent::parse(text)?;
    Some(SpanContext::new(
        TraceId::from_bytes(read.trace_id().to_be_bytes()),
        SpanId::from_bytes(read.parent_id().to_be_bytes()),
        TraceFlags::new(read.flags()),
        true,
        TraceState::NONE,
    ))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_example_of_the_specification_is_read() {
        let context = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_valid() && context.is_remote() && context.is_sampled());
        assert!(parse("00-zz").is_none());
    }
}
