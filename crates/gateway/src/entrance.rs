//! What must be true of a request before it is read, and what it may take up until then: whoever proves who
//! they are has a place among the calls and the room of a message; strangers have few places and little
//! room, so that they can take neither away from others. They are refused later, when it is known what they
//! ask for.

use crate::gateway::Gateway;
use crate::headers;
use crate::inbound::Inbound;
use crate::pipeline::Caller;
use crate::refusal::Cause;
use crate::reload::Door;
use crate::resource;
use crate::table::Route;
use crate::{access, claims};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use identity::Presented;
use tokio::sync::SemaphorePermit;

/// A place for one exchange, held until it ends.
#[derive(Debug)]
pub(crate) struct Place<'g> {
    _held: SemaphorePermit<'g>,
    /// The most bytes of a body.
    bytes_max: usize,
}

/// A request that goes no further.
#[derive(Debug)]
pub(crate) enum TurnedAway {
    /// What anybody can send without a message.
    Noise(Cause),
    Message(Cause),
}

impl Gateway {
    /// Lets a request in: what concerns the connection is checked, and its body read.
    pub(crate) async fn enter(
        &self,
        door: &Door,
        (route, uri): (&Route, &Uri),
        inbound: &mut Inbound,
        body: Incoming,
    ) -> Result<Place<'_>, TurnedAway> {
        if matches!(route, Route::Nowhere) {
            if self.described(uri).is_some() {
                return Err(TurnedAway::Noise(Cause::Method(access::METHODS)));
            }
            let endpoints = self.table.load().endpoints().join(" ");
            return Err(TurnedAway::Noise(Cause::Path(endpoints)));
        }
        check_head((uri, &inbound.headers), &door.allowed_hosts, &door.allowed_origins)
            .map_err(TurnedAway::Message)?;
        let mut served = route.methods().split(", ");
        if !served.any(|served| served == inbound.method.as_str()) {
            return Err(TurnedAway::Noise(Cause::Method(route.methods())));
        }
        inbound.caller = self.caller(door, uri, inbound).await;
        let place = self.place(door, &inbound.caller).map_err(TurnedAway::Message)?;
        let read = door.read_body(&inbound.method, &inbound.headers, body, place.bytes_max).await;
        inbound.body = read.map_err(|unread| {
            TurnedAway::Message(match (unread, &inbound.caller) {
                (Cause::TooLarge(_), Caller::Stranger(why)) => Cause::Unidentified(why.clone()),
                (unread, _) => unread,
            })
        })?;
        Ok(place)
    }

    /// Who sends this, by what it shows.
    async fn caller(&self, door: &Door, uri: &Uri, inbound: &Inbound) -> Caller {
        let head = &inbound.headers;
        let all = |name: HeaderName| -> Vec<&[u8]> {
            head.get_all(name).iter().map(HeaderValue::as_bytes).collect()
        };
        let (public, tls) = (self.listener.public_url.as_ref(), self.listener.tls.is_some());
        let presented = Presented {
            authorization: &all(AUTHORIZATION),
            dpop: &all(headers::DPOP),
            workload_identity_token: &all(headers::WORKLOAD_IDENTITY_TOKEN),
            workload_proof_token: &all(headers::WORKLOAD_PROOF_TOKEN),
            certificates: inbound.origin.certificates.as_ref(),
            method: inbound.method.as_str(),
            uri: &resource::asked_for(public, (tls, uri, head)),
            resource: &resource::canonical(public, uri.path()),
        };
        let verified = door.identity.verify(&presented, self.recorder.clock().now()).await;
        verified.map_or_else(Caller::Stranger, Caller::Known)
    }

    /// Reads the body of a request that is no message, within the places of strangers.
    pub(crate) async fn read_beside(
        &self,
        body: &mut Incoming,
        bytes_max: usize,
    ) -> Result<Bytes, StatusCode> {
        let held = self.strangers.try_acquire();
        let _held = held.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let limited = Limited::new(body, bytes_max).collect();
        match tokio::time::timeout(self.door.load().body_timeout, limited).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) | Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }

    fn place(&self, door: &Door, caller: &Caller) -> Result<Place<'_>, Cause> {
        let bytes_max = door.request_bytes_max;
        match caller {
            Caller::Known(_) => {
                let full = Cause::Overloaded("as many calls are in progress as are allowed");
                let held = self.calls.try_acquire().map_err(|_| full)?;
                Ok(Place { _held: held, bytes_max })
            }
            Caller::Stranger(why) => {
                let full = Cause::Unidentified(why.clone());
                let held = self.strangers.try_acquire().map_err(|_| full)?;
                Ok(Place { _held: held, bytes_max: bytes_max.min(STRANGER_BYTES_MAX) })
            }
        }
    }
}

impl Door {
    /// Reads a body of bounded size in bounded time. Only POST has one.
    async fn read_body(
        &self,
        method: &Method,
        map: &HeaderMap,
        body: Incoming,
        bytes_max: usize,
    ) -> Result<Bytes, Cause> {
        if method != Method::POST {
            return Ok(Bytes::new());
        }
        check_body_head(map)?;
        let limited = Limited::new(body, bytes_max).collect();
        match tokio::time::timeout(self.body_timeout, limited).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Cause::TooLarge(bytes_max)),
            Ok(Err(_)) | Err(_) => Err(Cause::Incomplete),
        }
    }
}

/// What must be true of the head of every request.
pub(crate) fn check_head(
    (uri, map): (&Uri, &HeaderMap),
    allowed_hosts: &[String],
    allowed_origins: &[String],
) -> Result<(), Cause> {
    let shown = |name| {
        let value = map.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        event::bounded(&value.unwrap_or_default(), 100)
    };
    if !headers::host_allowed(uri.authority(), map, allowed_hosts) {
        let authority = uri.authority().map(|authority| event::bounded(authority.as_str(), 100));
        return Err(Cause::Host(authority.unwrap_or_else(|| shown(http::header::HOST))));
    }
    if !headers::origin_allowed(map, allowed_origins) {
        return Err(Cause::Origin(shown(http::header::ORIGIN)));
    }
    if access::has_token_in_query(uri) {
        return Err(Cause::TokenInQuery);
    }
    if let Some(name) = claims::overrides(map) {
        return Err(Cause::Override(name.as_str()));
    }
    if headers::drops_what_counts(map) {
        return Err(Cause::Override(http::header::CONNECTION.as_str()));
    }
    if map.get_all(headers::SESSION_ID).iter().nth(1).is_some() {
        return Err(Cause::OutOfPlace("second session id in one"));
    }
    Ok(())
}

/// What the head must say of a body that is read.
pub(crate) fn check_body_head(map: &HeaderMap) -> Result<(), Cause> {
    if headers::is_encoded(map) || headers::is_transfer_coded(map) {
        return Err(Cause::Encoded);
    }
    if !headers::media_type_is(map, "application/json") {
        return Err(Cause::MediaType);
    }
    Ok(())
}

/// Exchanges of strangers at once; more are refused before their bodies are read.
pub(crate) const STRANGERS_MAX: usize = 256;

/// Bytes of the body of a stranger, read so that its refusal says what was asked.
const STRANGER_BYTES_MAX: usize = 64 << 10;
