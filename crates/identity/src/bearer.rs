//! The one credential in a request's `Authorization` headers. It does not look inside the credential.

use crate::rejection::{Reason, Rejection};

/// Most bytes of a credential.
///
/// The largest honest tokens (hundreds of group claims) stay below 8 KiB, the header limit of common
/// servers; twice that leaves room.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// By itself, or with the certificate that it is bound to (RFC 6750 section 2.1).
    Bearer,
    /// With a proof beside it (RFC 9449 section 7.1).
    Dpop,
}

/// What an `Authorization` header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) token: &'a str,
}

/// The credential, or `None` when there is no header.
pub(crate) fn credential<'a>(
    authorization: &[&'a [u8]],
) -> Result<Option<Credential<'a>>, Rejection> {
    let header = match authorization {
        [] => return Ok(None),
        [header] => *header,
        several => {
            return Err(Rejection::at(Reason::MalformedHeader, "authorization")
                .expected("one header")
                .actual(&format!("{} headers", several.len())));
        }
    };
    if header.len() > TOKEN_BYTES_MAX + SCHEME_BYTES_MAX + 1 {
        return Err(Rejection::new(Reason::TokenTooLarge)
            .expected(&format!("at most {TOKEN_BYTES_MAX} bytes"))
            .actual(&format!("{} bytes in the header", header.len())));
    }
    let malformed = || {
        Rejection::at(Reason::MalformedHeader, "authorization")
            .expected("Bearer <token> or DPoP <token>")
    };
    let blank = header.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
    let (scheme, rest) = header.split_at_checked(blank).ok_or_else(malformed)?;
    let named = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    let scheme = match () {
        () if named("Bearer") => Scheme::Bearer,
        () if named("DPoP") => Scheme::Dpop,
        () => return Err(malformed()),
    };
    let token = std::str::from_utf8(rest.trim_ascii()).map_err(|_| malformed())?;
    let in_charset = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(in_charset) {
        return Err(malformed());
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Rejection::new(Reason::TokenTooLarge));
    }
    Ok(Some(Credential { scheme, token }))
}

/// The longest name of a scheme that is read.
const SCHEME_BYTES_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::{Credential, Scheme, TOKEN_BYTES_MAX, credential};
    use crate::rejection::Reason;

    #[test]
    fn one_credential_is_found() {
        assert_eq!(credential(&[]), Ok(None));
        for (header, scheme) in [
            ("Bearer abc", Scheme::Bearer),
            ("bearer abc", Scheme::Bearer),
            ("BEARER   abc", Scheme::Bearer),
            ("Bearer abc ", Scheme::Bearer),
            ("DPoP abc", Scheme::Dpop),
            ("dpop abc", Scheme::Dpop),
        ] {
            let found = credential(&[header.as_bytes()]);
            assert_eq!(found, Ok(Some(Credential { scheme, token: "abc" })), "{header}");
        }
        let longest = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX));
        let found = credential(&[longest.as_bytes()]).unwrap().unwrap();
        assert_eq!(found.token.len(), TOKEN_BYTES_MAX);
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
            "DPoP",
            "DPoPabc",
            "DPo abc",
            "DPoP a b",
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
