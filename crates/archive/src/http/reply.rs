//! What HTTP adds to a page: entity tags, conditions, ranges (RFC 9110 sections 8.8.3, 13 and 14), the
//! choice of a format, and every way to say no.
//!
//! Knows bytes and headers; no file and no log.

use crate::receipt::{Format, ReceiptError};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use http_range_header::{EndPosition, StartPosition, parse_range_header};
use note::Hash;

/// A page with what is said of it.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    bytes: Bytes,
    media_type: &'static str,
    cache_control: &'static str,
    etag: String,
    negotiated: bool,
}

impl Content {
    pub(crate) fn new(
        bytes: Vec<u8>,
        media_type: &'static str,
        cache_control: &'static str,
    ) -> Self {
        let digest = Hash::of(&bytes).to_string();
        let etag = format!("\"{}\"", digest.get(..ETAG_DIGITS).unwrap_or_default());
        Self { bytes: Bytes::from(bytes), media_type, cache_control, etag, negotiated: false }
    }

    /// The same page, which had its format chosen by the client.
    pub(crate) fn negotiated(self) -> Self {
        Self { negotiated: true, ..self }
    }

    /// Whether the client says that it has this already: then it is given nothing.
    pub(crate) fn is_held(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
        tags.peek().is_some() && tags.any(|tags| names(tags, &self.etag, Comparison::Weak))
    }

    /// Whether the client wants this only when it is another thing than it is.
    fn is_unwanted(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_MATCH).iter().peekable();
        tags.peek().is_some() && !tags.any(|tags| names(tags, &self.etag, Comparison::Strong))
    }
}

/// The answer to a GET or HEAD of this content.
pub(crate) fn reply(method: &Method, headers: &HeaderMap, content: &Content) -> Response<Bytes> {
    if content.is_unwanted(headers) {
        return Problem::Precondition.response(method);
    }
    let length = content.bytes.len();
    let (status, body) = if content.is_held(headers) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        match range(method, headers, content) {
            Wanted::Whole => (StatusCode::OK, content.bytes.clone()),
            Wanted::Part { first, last } => {
                let mut response = head(StatusCode::PARTIAL_CONTENT, content);
                let part = content.bytes.slice(first..=last);
                let shown = format!("bytes {first}-{last}/{length}");
                set(&mut response, header::CONTENT_RANGE, &shown);
                return finish(response, method, part);
            }
            Wanted::Nothing => {
                let mut response = Problem::Range.response(method);
                set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                return response;
            }
        }
    };
    finish(head(status, content), method, body)
}

/// The format that the client likes best of those there are, the first of equals; `None` when it
/// accepts none (RFC 9110 section 12.5.1).
pub(crate) fn preferred(headers: &HeaderMap, formats: &[Format]) -> Option<Format> {
    let mut lines = headers.get_all(header::ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return formats.first().copied();
    }
    let ranges: Vec<(String, u16)> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(media_range)
        .collect();
    let quality = |format: &Format| {
        let name = format.media_type().split(';').next().unwrap_or_default();
        let kind = name.split('/').next().unwrap_or_default();
        // The most exact range decides, whatever the others say.
        [name.to_owned(), format!("{kind}/*"), "*/*".to_owned()]
            .iter()
            .find_map(|wanted| ranges.iter().find(|(range, _)| range == wanted))
            .map_or(0, |(_, quality)| *quality)
    };
    let best = formats.iter().map(quality).max().filter(|best| 0 < *best)?;
    formats.iter().find(|format| quality(format) == best).copied()
}

/// Why there is no page to give.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Not GET, not HEAD.
    Method,
    /// There is no such page.
    NotFound(String),
    /// Entries are for readers that show who they are.
    Unknown,
    /// The query says something else than what can be asked.
    BadQuery,
    /// The client accepts none of the formats there are.
    NotAcceptable,
    /// The client wanted another version.
    Precondition,
    /// The range is outside of the file.
    Range,
    /// As many receipts as allowed are being made.
    Busy,
    /// What would be read cannot be put on record.
    Unrecorded,
    /// A file cannot be read.
    Failed,
    /// The receipt cannot be made.
    Receipt(ReceiptError),
}

impl Problem {
    pub(crate) fn response(&self, method: &Method) -> Response<Bytes> {
        let (status, text) = self.said();
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
        set(&mut response, header::CACHE_CONTROL, "no-store");
        match self {
            Self::Method => set(&mut response, header::ALLOW, "GET, HEAD"),
            Self::Unknown => {
                set(&mut response, header::WWW_AUTHENTICATE, "Bearer realm=\"log entries\"");
            }
            Self::Busy | Self::Unrecorded => set(&mut response, header::RETRY_AFTER, "2"),
            Self::Receipt(ReceiptError::NotPublished { .. }) => {
                set(&mut response, header::RETRY_AFTER, "2");
            }
            _ => {}
        }
        finish(response, method, Bytes::from(text))
    }

    fn said(&self) -> (StatusCode, String) {
        let (status, text) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "a log is only read here\n"),
            Self::NotFound(text) => return (StatusCode::NOT_FOUND, text.clone()),
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "entries are given to configured readers: send `Authorization: Bearer <token>`\n",
            ),
            Self::BadQuery => (
                StatusCode::BAD_REQUEST,
                "a receipt takes `of=asked` or `of=answered`, and `entry=with` or `entry=without`\n",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "receipts come as `text/plain` (tlog-proof), `application/json` and, where the key is \
                 at hand and no entry is asked for, `application/cose`\n",
            ),
            Self::Precondition => (StatusCode::PRECONDITION_FAILED, "this is another version\n"),
            Self::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "the file is shorter than that\n"),
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "many receipts are being made: try again\n")
            }
            Self::Unrecorded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "entries are not given out while the log does not take the record of it\n",
            ),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read\n"),
            Self::Receipt(error) => return (status(error), shown(error)),
        };
        (status, text.to_owned())
    }
}

fn status(error: &ReceiptError) -> StatusCode {
    match error {
        ReceiptError::NotPublished { .. }
        | ReceiptError::NoSuchCall { .. }
        | ReceiptError::NoSuchRecord { .. }
        | ReceiptError::NotFoundNear { .. }
        | ReceiptError::Pruned { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a client may know of an error: all that concerns its question, nothing of our files.
fn shown(error: &ReceiptError) -> String {
    if status(error) == StatusCode::NOT_FOUND {
        return format!("{error}\n");
    }
    tracing::error!(%error, "a receipt cannot be made");
    "the receipt cannot be made: the log of this gateway says why\n".to_owned()
}

/// What part of the content is wanted.
enum Wanted {
    Whole,
    Part { first: usize, last: usize },
    Nothing,
}

/// The one range that is asked for. Several at once, other units and what is malformed are passed over,
/// as RFC 9110 section 14.2 allows.
fn range(method: &Method, headers: &HeaderMap, content: &Content) -> Wanted {
    if method != Method::GET {
        return Wanted::Whole;
    }
    if let Some(condition) = headers.get(header::IF_RANGE)
        && !names(condition, &content.etag, Comparison::Strong)
    {
        return Wanted::Whole;
    }
    let mut lines = headers.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Wanted::Whole };
    let parsed = line.to_str().ok().and_then(|line| parse_range_header(line).ok());
    let Some([one]) = parsed.as_ref().map(|parsed| parsed.ranges.as_slice()) else {
        return Wanted::Whole;
    };
    let Some(end) = content.bytes.len().checked_sub(1) else { return Wanted::Nothing };
    let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(end);
    match (one.start, one.end) {
        (StartPosition::Index(first), EndPosition::Index(last)) if last < first => Wanted::Whole,
        (StartPosition::Index(first), _) if usize::try_from(first).is_ok_and(|at| end < at) => {
            Wanted::Nothing
        }
        (StartPosition::Index(first), EndPosition::Index(last)) => {
            Wanted::Part { first: within(first), last: within(last) }
        }
        (StartPosition::Index(first), EndPosition::LastByte) => {
            Wanted::Part { first: within(first), last: end }
        }
        (StartPosition::FromLast(count), _) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            Wanted::Part { first: content.bytes.len().saturating_sub(count), last: end }
        }
    }
}

/// How two entity tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags names this one. Ours have no comma in them, so that cutting at commas
/// finds it whatever else is there.
fn names(tags: &HeaderValue, etag: &str, comparison: Comparison) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|tag| {
        let weak = tag.strip_prefix("W/").filter(|_| comparison == Comparison::Weak);
        tag == "*" || weak.unwrap_or(tag) == etag
    })
}

/// A media range with its quality in thousandths; `None` when it is malformed.
fn media_range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(weight) = weight else { return Some((range, 1_000)) };
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if 3 < fraction.len() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some((range, fraction)),
        "1" if fraction == 0 => Some((range, 1_000)),
        _ => None,
    }
}

fn head(status: StatusCode, content: &Content) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, content.media_type);
    set(&mut response, header::CACHE_CONTROL, content.cache_control);
    set(&mut response, header::ETAG, &content.etag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if content.negotiated {
        set(&mut response, header::VARY, "accept");
    }
    response
}

/// Adds the body, or for HEAD only its length.
fn finish(mut response: Response<Bytes>, method: &Method, body: Bytes) -> Response<Bytes> {
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if response.status() != StatusCode::NOT_MODIFIED {
        set(&mut response, header::CONTENT_LENGTH, &body.len().to_string());
    }
    if method != Method::HEAD {
        *response.body_mut() = body;
    }
    response
}

fn set(response: &mut Response<Bytes>, name: HeaderName, value: &str) {
    // All values here are visible ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Hexadecimal digits of the SHA-256 digest that make an entity tag: 128 bits.
const ETAG_DIGITS: usize = 32;
