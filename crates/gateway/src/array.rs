//! JSON-RPC batches as bytes: cut into their messages and put together again. It knows no message;
//! whoever uses it has read the batch strictly before.

use bytes::Bytes;
use mcp::edit::{Step, find};

/// Whether a body looks like a batch and not like one message.
pub(crate) fn is_array(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'[')
}

/// The messages of a batch, as they stand in it, each in memory of its own: what waits of a batch holds
/// no more than itself. None when the body is no JSON array.
pub(crate) fn elements(batch: &Bytes) -> Vec<Bytes> {
    let found = find(batch, &[Step::Each]).unwrap_or_default();
    found.iter().map(|element| Bytes::copy_from_slice(&batch.slice(element.range()))).collect()
}

/// A batch of these messages.
pub(crate) fn join(messages: &[Bytes]) -> Bytes {
    let mut out = Vec::with_capacity(messages.iter().map(|m| m.len() + 1).sum::<usize>() + 1);
    for (at, message) in messages.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        out.extend_from_slice(message.trim_ascii());
    }
    out.extend_from_slice(if messages.is_empty() { b"[]" } else { b"]" });
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{elements, is_array, join};
    use bytes::Bytes;

    #[test]
    fn a_batch_comes_apart_and_together() {
        let batch = Bytes::from_static(b" [ {\"a\":[1,2.0]} ,{\"b\":\"],[\"}]\n");
        assert!(is_array(&batch) && !is_array(b" {}"));
        let parts = elements(&batch);
        assert_eq!(parts, [&b"{\"a\":[1,2.0]}"[..], b"{\"b\":\"],[\"}"]);
        let whole = batch.as_ptr_range();
        assert!(parts.iter().all(|part| !whole.contains(&part.as_ptr())), "each stands alone");
        assert_eq!(join(&parts), b"[{\"a\":[1,2.0]},{\"b\":\"],[\"}]".as_slice());
        assert_eq!(join(&[]), b"[]".as_slice());
    }
}
