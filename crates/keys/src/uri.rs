//! PKCS#11 URIs (RFC 7512): which module, which token, which key, and the file
//! with the PIN.
//!
//! A PIN itself is not taken from a URI: it would stand in configuration files
//! and process lists.

use crate::error::Error;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;

/// A key in a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The label of the token (`token`).
    pub token: String,
    /// The label of the key pair (`object`).
    pub object: String,
    /// The PKCS#11 module to load (`module-path`).
    pub module: PathBuf,
    /// The file that holds the PIN (`pin-source`, a path or a `file:` URI);
    /// absent for a token that asks for none or has a PIN pad.
    pub pin: Option<PathBuf>,
}

impl Uri {
    /// Reads `pkcs11:token=…;object=…?module-path=…&pin-source=…`.
    ///
    /// # Errors
    /// [`Error::Uri`] when something is missing, unknown or said twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let shown = without_pin(text).to_owned();
        let wrong = |what: String| Error::Uri { uri: shown.clone(), what };
        let rest = text.strip_prefix("pkcs11:").ok_or_else(|| wrong(BEGINS.to_owned()))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut found: [Option<String>; 4] = Default::default();
        let attributes = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for attribute in attributes {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let place = NAMES.iter().zip(&mut found).find(|(known, _)| **known == name);
            let Some((_, place)) = place else {
                let what = match name {
                    // Whatever begins like this may go on with the PIN itself.
                    _ if name.to_ascii_lowercase().starts_with("pin") => {
                        "put the PIN in a file and name it by `pin-source`".to_owned()
                    }
                    _ => format!("`{name}` is none of {}", NAMES.join(", ")),
                };
                return Err(wrong(what));
            };
            let decoded = percent_decode_str(value).decode_utf8();
            let decoded = decoded.map_err(|_| wrong(format!("`{name}` is not UTF-8")))?;
            if place.replace(decoded.into_owned()).is_some() {
                return Err(wrong(format!("`{name}` is there twice")));
            }
        }
        let [token, object, module, pin] = found;
        let needed = |value: Option<String>, name: &str| {
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| wrong(format!("`{name}` is missing")))
        };
        Ok(Self {
            token: needed(token, "token")?,
            object: needed(object, "object")?,
            module: needed(module, "module-path")?.into(),
            pin: pin.map(|pin| pin.strip_prefix("file:").unwrap_or(&pin).into()),
        })
    }
}

/// What may be shown of a URI: nothing from where it could speak of a PIN.
fn without_pin(text: &str) -> &str {
    let pin = text.to_ascii_lowercase().find("pin-");
    let end = text.find('?').into_iter().chain(pin).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

const BEGINS: &str = "it does not begin with `pkcs11:`";
const NAMES: [&str; 4] = ["token", "object", "module-path", "pin-source"];

#[cfg(test)]
mod tests {
    use super::Uri;

    #[test]
    fn a_pin_is_not_repeated_wherever_it_stands() {
        for uri in [
            "pkcs11:token=t;object=o?module-path=/m&pin-value=1234",
            "pkcs11:token=t;object=opin-value=1234",
            "pkcs11:token=t;PIN-value=1234;object=o",
            "pkcs11:token=t;object=o?pin-value1234",
        ] {
            let error = Uri::parse(uri).unwrap_err().to_string();
            assert!(!error.contains("1234"), "{error}");
        }
    }

    #[test]
    fn reads_the_parts_and_decodes_them() {
        let uri =
            "pkcs11:token=my%20log;object=key?module-path=/usr/lib/m.so&pin-source=file:/run/pin";
        let read = Uri::parse(uri).unwrap();
        assert_eq!((read.token.as_str(), read.object.as_str()), ("my log", "key"));
        assert_eq!(read.module.to_str(), Some("/usr/lib/m.so"));
        assert_eq!(read.pin.unwrap().to_str(), Some("/run/pin"));
    }

    #[test]
    fn says_what_is_wrong_and_never_a_pin() {
        for (uri, wanted) in [
            ("pkcs11:object=k?module-path=m", "`token` is missing"),
            ("pkcs11:token=t;object=k", "`module-path` is missing"),
            ("pkcs11:token=t;token=u;object=k?module-path=m", "`token` is there twice"),
            ("pkcs11:token=t;serial=1;object=k?module-path=m", "`serial` is none of"),
            ("pkcs11:token=t;object=k?module-path=m&pin-value=1234", "`pin-source`"),
            ("pkcs11:token=%ff;object=k?module-path=m", "not UTF-8"),
        ] {
            let error = Uri::parse(uri).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("1234"), "{uri}: {error}");
        }
    }
}
