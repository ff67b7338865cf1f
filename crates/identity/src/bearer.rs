//! The one credential in a request's `Authorization` headers. It does not look inside the credential.

use crate::rejection::{Reason, Rejection};

/// Most bytes of a credential.
///
/// The largest honest tokens (hundreds of group claims) stay below 8 KiB, the header limit of common
/// servers; twice that leaves room.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The credential of the `Bearer` scheme (RFC 6750 section 2.1), or `None` when there is no header.
pub(crate) fn credential<'a>(authorization: &[&'a [u8]]) -> Result<Option<&'a str>, Rejection> {
    let header = match authorization {
        [] => return Ok(None),
        [header] => *header,
        several => {
            return Err(Rejection::at(Reason::MalformedHeader, "authorization")
                .expected("one header")
                .actual(&format!("{} headers", several.len())));
        }
    };
    if header.len() > TOKEN_BYTES_MAX + SCHEME.len() + 1 {
        return Err(Rejection::new(Reason::TokenTooLarge)
            .expected(&format!("at most {TOKEN_BYTES_MAX} bytes"))
            .actual(&format!("{} bytes in the header", header.len())));
    }
    let malformed =
        || Rejection::at(Reason::MalformedHeader, "authorization").expected("Bearer <token>");
    let (scheme, rest) = header.split_at_checked(SCHEME.len()).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) || !rest.starts_with(b" ") {
        return Err(malformed());
    }
    let token = std::str::from_utf8(rest.trim_ascii()).map_err(|_| malformed())?;
    let in_charset = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(in_charset) {
        return Err(malformed());
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Rejection::new(Reason::TokenTooLarge));
    }
    Ok(Some(token))
}

const SCHEME: &str = "Bearer";

#[cfg(test)]
mod tests {
    use super::{TOKEN_BYTES_MAX, credential};
    use crate::rejection::Reason;

    #[test]
    fn one_bearer_credential_is_found() {
        assert_eq!(credential(&[]), Ok(None));
        for header in ["Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc "] {
            assert_eq!(credential(&[header.as_bytes()]), Ok(Some("abc")), "{header}");
        }
        let longest = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX));
        assert_eq!(credential(&[longest.as_bytes()]).unwrap().unwrap().len(), TOKEN_BYTES_MAX);
    }

    #[test]
    fn everything_else_is_refused() {
        let reason = |headers: &[&[u8]]| credential(headers).unwrap_err().reason;
        for header in [
            "",
            " ",
            "abc",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearerabc",
            "Basic abc",
            "DPoP abc",
            "Bearer a b",
            "Bearer a, Bearer b",
            "Bearer a,b",
            "Bearer\tabc",
            "Bearer a\u{e9}",
            " Bearer abc",
            "Bearer \"abc\"",
        ] {
            assert_eq!(reason(&[header.as_bytes()]), Reason::MalformedHeader, "{header:?}");
        }
        assert_eq!(reason(&[b"Bearer a\xff"]), Reason::MalformedHeader);
        assert_eq!(reason(&[b"Bearer a", b"Bearer a"]), Reason::MalformedHeader);
        let long = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1));
        assert_eq!(reason(&[long.as_bytes()]), Reason::TokenTooLarge);
    }
}
