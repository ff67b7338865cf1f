//! Asks a gateway elsewhere for a receipt, at the pages of its log.
//!
//! Trusts nothing that comes back: it is in the form that was asked for, and proves what it proves.

use crate::client::{Client, ClientError};
use crate::http::PREFIX;
use crate::receipt::{Entry, Format, Of, Wanted};
use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use note::LogProof;
use url::Url;

/// Which receipt, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Of which entry.
    pub wanted: Wanted,
    /// Of which entry of a call.
    pub of: Of,
    /// Whether with the entry, for which a token is needed.
    pub entry: Entry,
    /// In which form.
    pub format: Format,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The gateway cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token cannot be sent.
    #[error("the token has characters that no token has")]
    Token,
    /// The gateway said no.
    #[error("the gateway answered with status {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it wrote, cut.
        text: String,
    },
    /// The answer is another thing than a receipt.
    #[error("the answer is not the receipt that was asked for: {0}")]
    NoReceipt(String),
}

/// Gets a receipt from the gateway at `address`: the pages of its log (`https://gw.example/log/`), or the
/// gateway itself, where they are below `/log/`.
///
/// # Errors
/// See [`RemoteError`].
pub async fn receipt(
    client: &Client,
    address: &Url,
    asked: Asked,
    token: Option<&str>,
) -> Result<Bytes, RemoteError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(name_of(asked.format.media_type())));
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| RemoteError::Token)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let answer = client.get(&page(address, asked), headers, RECEIPT_BYTES_MAX).await?;
    if answer.status != StatusCode::OK {
        let text = String::from_utf8_lossy(&answer.body);
        let text: String = text.trim_end().chars().map(harmless).collect();
        let status = answer.status.as_u16();
        return Err(RemoteError::Refused { status, text: event::bounded(&text, SHOWN_MAX) });
    }
    let found = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = found.map(name_of).unwrap_or_default();
    if !found.eq_ignore_ascii_case(name_of(asked.format.media_type())) {
        let what = format!("it has the media type `{}`", event::bounded(found, SHOWN_MAX));
        return Err(RemoteError::NoReceipt(what));
    }
    if asked.format == Format::TlogProof {
        let proof = LogProof::parse(&answer.body);
        let proof = proof.map_err(|error| RemoteError::NoReceipt(error.to_string()))?;
        if matches!(asked.wanted, Wanted::Index(index) if index != proof.index) {
            return Err(RemoteError::NoReceipt(format!("it is of entry {}", proof.index)));
        }
    }
    Ok(answer.body)
}

fn page(address: &Url, asked: Asked) -> Url {
    let mut url = address.clone();
    let base = match address.path().trim_end_matches('/') {
        "" => PREFIX.trim_end_matches('/').to_owned(),
        path => path.to_owned(),
    };
    let wanted = match asked.wanted {
        Wanted::Index(index) => index.to_string(),
        Wanted::Call(call) => call.to_string(),
    };
    url.set_path(&format!("{base}/receipt/{wanted}"));
    let of = match asked.of {
        Of::Asked => "asked",
        Of::Answered => "answered",
    };
    let entry = match asked.entry {
        Entry::With => "with",
        Entry::Without => "without",
    };
    url.set_query(Some(&format!("of={of}&entry={entry}")));
    url.set_fragment(None);
    url
}

/// A media type without its parameters.
fn name_of(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn harmless(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Bytes of a receipt: an entry in base64, 64 hashes, and a checkpoint with the lines of many witnesses.
const RECEIPT_BYTES_MAX: usize = 1 << 20;
/// Bytes of what a server wrote that are shown.
const SHOWN_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::{Asked, page};
    use crate::receipt::{Entry, Format, Of, Wanted};
    use url::Url;

    #[test]
    fn the_page_is_found_from_either_address() {
        let wanted = Wanted::Index(7);
        let asked = Asked { wanted, of: Of::Answered, entry: Entry::With, format: Format::Cose };
        for (address, expected) in [
            ("https://gw.example", "https://gw.example/log/receipt/7?of=answered&entry=with"),
            ("https://gw.example/?x#y", "https://gw.example/log/receipt/7?of=answered&entry=with"),
            ("https://gw.example/log", "https://gw.example/log/receipt/7?of=answered&entry=with"),
            ("http://h:1/a/log/", "http://h:1/a/log/receipt/7?of=answered&entry=with"),
        ] {
            assert_eq!(page(&Url::parse(address).unwrap(), asked).as_str(), expected);
        }
    }
}
