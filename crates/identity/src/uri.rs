//! When two URIs are the same one: the normal form of RFC 3986 sections 6.2.2 and 6.2.3, without query and
//! fragment. It knows `http` and `https` only, and takes nothing that the grammar does not allow.

/// The normal form of an absolute URI, or `None` where it is not one. Query and fragment are left out (RFC
/// 9449 section 4.3).
pub(crate) fn normal(text: &str) -> Option<String> {
    let hierarchical = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = hierarchical.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/"),
    };
    let (host, port) = split_port(authority)?;
    let host = host.to_ascii_lowercase();
    let port = port.filter(|port| *port != default_port).map(|port| format!(":{port}"));
    let path = without_dots(&path_normal(path)?);
    Some(format!("{scheme}://{host}{}{path}", port.unwrap_or_default()))
}

/// Host and port of an authority (RFC 3986 section 3.2). There is no place for a user in it.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(after)?;
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let literal = |b: u8| b.is_ascii_hexdigit() || b":.".contains(&b);
    let good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => !inside.is_empty() && inside.bytes().all(literal),
        None => !host.is_empty() && host.bytes().all(name),
    };
    let port = match rest.strip_prefix(':') {
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    good.then_some((host, port))
}

/// A path with upper-case escapes, and none where none is needed (RFC 3986 sections 6.2.2.1 and 6.2.2.2).
fn path_normal(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let escaped = u8::try_from(digit()? * 16 + digit()?).ok()?;
                if unreserved(escaped) {
                    out.push(char::from(escaped));
                } else {
                    out.push_str(&format!("%{escaped:02X}"));
                }
            }
            b if unreserved(b) || b"/:@!$&'()*+,;=".contains(&b) => out.push(char::from(b)),
            _ => return None,
        }
    }
    Some(out)
}

/// A path without `.` and `..` (RFC 3986 section 5.2.4); it begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let last = if ends_in_directory && !kept.is_empty() { "/" } else { "" };
    format!("/{}{last}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::normal;
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
    use url::Url;

    #[test]
    fn one_uri_has_one_form() {
        for (text, form) in [
            ("https://gw.example/mcp", "https://gw.example/mcp"),
            ("HTTPS://GW.example:443/mcp", "https://gw.example/mcp"),
            ("https://gw.example:/mcp", "https://gw.example/mcp"),
            ("https://gw.example:0443/mcp", "https://gw.example/mcp"),
            ("http://gw.example:80/mcp", "http://gw.example/mcp"),
            ("https://gw.example:80/mcp", "https://gw.example:80/mcp"),
            ("https://gw.example/mcp?a=b#c", "https://gw.example/mcp"),
            ("https://gw.example/mcp#c?d", "https://gw.example/mcp"),
            ("https://gw.example", "https://gw.example/"),
            ("https://gw.example?a", "https://gw.example/"),
            // RFC 3986 section 6.2.2, and 5.2.4.
            ("https://gw.example/a/./b/../b/%63/%7bfoo%7d", "https://gw.example/a/b/c/%7Bfoo%7D"),
            ("https://gw.example/a/b/c/./../../g", "https://gw.example/a/g"),
            ("https://gw.example/../mcp", "https://gw.example/mcp"),
            ("https://gw.example/a/%2e%2E/b", "https://gw.example/b"),
            ("https://gw.example/a/..", "https://gw.example/"),
            ("https://gw.example/a/b/.", "https://gw.example/a/b/"),
            ("https://gw.example/%2f%2F", "https://gw.example/%2F%2F"),
            ("https://[::1]:443/", "https://[::1]/"),
            ("https://[FE80::1]:8443/", "https://[fe80::1]:8443/"),
        ] {
            assert_eq!(normal(text).as_deref(), Some(form), "{text}");
        }
    }

    #[test]
    fn two_uris_have_two() {
        let distinct = [
            "https://gw.example/mcp",
            "http://gw.example/mcp",
            "https://gw.example/mcp/",
            "https://gw.example/MCP",
            "https://gw.example//mcp",
            "https://gw.example:8443/mcp",
            "https://gw.example./mcp",
            "https://gw.example/mc%70%2F",
        ];
        let forms: std::collections::BTreeSet<_> = distinct.iter().map(|one| normal(one)).collect();
        assert_eq!(forms.len(), distinct.len());
    }

    #[test]
    fn what_is_no_such_uri_has_none() {
        for text in [
            "",
            "/mcp",
            "mcp",
            "//gw.example/mcp",
            "https:/gw.example/mcp",
            "https:gw.example",
            "https://",
            "https:///mcp",
            "https://:443/mcp",
            "ftp://gw.example/",
            "https://u@gw.example/mcp",
            "https://u:p@gw.example/mcp",
            "https://gw.example:x/mcp",
            "https://gw.example:+443/mcp",
            "https://gw.example:65536/mcp",
            "https://gw.example:443:443/mcp",
            "https://gw.example/a b",
            "https://gw.example/a\tb",
            "https://gw.example/\u{e9}",
            "https://gw.example/%",
            "https://gw.example/%4",
            "https://gw.example/%zz",
            "https://gw.example/%+1",
            "https://gw.example\\mcp",
            "https://gw.example\\@evil/mcp",
            "https://[::1/mcp",
            "https://[]/mcp",
            "https://[::1]x/mcp",
            "https://[g::1]/mcp",
            " https://gw.example/mcp",
            "https://gw example/mcp",
        ] {
            assert_eq!(normal(text), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_form_is_its_own_and_another_reader_agrees(
            path in "(/([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2}|\\.|\\.\\.){0,5}){0,6}",
            host in "[a-zA-Z][a-zA-Z0-9]{0,9}(\\.[a-zA-Z][a-zA-Z0-9]{0,4}){0,2}",
            port in "(:(0{0,2}(443|80|8443|1|65535))?)?",
            after in "([?#][a-z?#/.%]{0,9})?",
        ) {
            let text = format!("hTTps://{host}{port}{path}{after}");
            let form = normal(&text).unwrap();
            let again = normal(&form);
            prop_assert_eq!(again.as_ref(), Some(&form));
            // The URL standard finds the same places; it leaves escapes as they are but for those of dots.
            let mut theirs = Url::parse(&text).unwrap();
            theirs.set_query(None);
            theirs.set_fragment(None);
            let theirs = normal(theirs.as_str());
            prop_assert_eq!(theirs, Some(form));
        }

        #[test]
        fn no_text_panics(text in "(https://)?.{0,40}") {
            let form = normal(&text);
            prop_assert_eq!(form.as_deref().and_then(normal), form);
        }
    }
}
