//! What others tell of the parties they vouch for: the push endpoint on the gateway's address, the record, and
//! the file in which revocations outlive a restart.

use crate::config::{Config, TransmitterConfig};
use anyhow::Context as _;
use async_trait::async_trait;
use audit::Recorder;
use bytes::Bytes;
use event::Kind;
use gateway::{Answering, RequestHead};
use http::{HeaderValue, Method, Response, StatusCode, header};
use identity::Revocations;
use identity::statement::Signer;
use signals::{BODY_BYTES_MAX, Book, Keeper, NotKept, Receiver, Signal, Transmitter};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The push endpoint.
#[derive(Debug)]
pub(crate) struct Signals {
    path: String,
    receiver: Receiver,
    recorder: Recorder,
}

impl Signals {
    /// With the revocations that were in force before; nothing when nobody is believed.
    pub(crate) fn start(
        config: &Config,
        recorder: &Recorder,
        revocations: &Arc<Revocations>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(config) = &config.signals else { return Ok(None) };
        let book = Book::new(config.book.clone());
        let kept = book.read().context("who was revoked before is not known")?;
        revocations.restore(kept, recorder.clock().now())?;
        let keeper = Arc::new(Kept {
            book,
            recorder: recorder.clone(),
            revocations: Arc::clone(revocations),
            writing: tokio::sync::Mutex::new(()),
        });
        let transmitter = |config: &TransmitterConfig| {
            anyhow::Ok(Transmitter {
                signer: Signer::new(&config.provider)?,
                issuer: config.provider.issuer.clone(),
                audience: config.provider.audience.clone(),
                speaks_for: config.speaks_for.clone(),
                revoke_on: config.revoke_on.clone(),
            })
        };
        let transmitters = config.transmitters.iter().map(transmitter).collect::<Result<_, _>>()?;
        let receiver = Receiver::new(transmitters, Arc::clone(revocations), keeper);
        Ok(Some(Self { path: config.path.clone(), receiver, recorder: recorder.clone() }))
    }

    /// The most bytes of a push.
    pub(crate) fn body_bytes_max(&self, request: &RequestHead) -> Option<usize> {
        self.is_push(request).then_some(BODY_BYTES_MAX)
    }

    /// The answer to a request, or nothing when it goes elsewhere.
    pub(crate) fn answer<'a>(
        &'a self,
        request: &'a RequestHead,
        body: Bytes,
    ) -> Option<Answering<'a>> {
        if request.uri.path() != self.path {
            return None;
        }
        if !self.is_push(request) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return Some(Box::pin(std::future::ready(response)));
        }
        Some(Box::pin(async move {
            let types = request.headers.get_all(header::CONTENT_TYPE);
            let types: Vec<&[u8]> = types.iter().map(HeaderValue::as_bytes).collect();
            let answer = self.receiver.push(&types, &body, self.recorder.clock().now()).await;
            let mut response = Response::new(answer.body.map_or_else(Bytes::new, Bytes::from));
            *response.status_mut() =
                StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if !response.body().is_empty() {
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
            }
            response
        }))
    }

    fn is_push(&self, request: &RequestHead) -> bool {
        request.method == Method::POST && request.uri.path() == self.path
    }
}

/// Puts signals on record, and revocations in their file.
#[derive(Debug)]
struct Kept {
    book: Book,
    recorder: Recorder,
    revocations: Arc<Revocations>,
    /// One writes at a time, so that none is replaced by fewer.
    writing: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Keeper for Kept {
    async fn keep(&self, signals: &[Signal]) -> Result<(), NotKept> {
        let failed = |error: &dyn std::error::Error| NotKept(error.to_string());
        for details in signals.iter().flat_map(details_of) {
            let noticed = self.recorder.notice(Kind::SignalReceived, details).await;
            noticed.map_err(|error| failed(&error))?;
        }
        let _writing = self.writing.lock().await;
        let (book, revoked) = (self.book.clone(), self.revocations.active());
        let written = tokio::task::spawn_blocking(move || book.write(&revoked)).await;
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    async fn refused(&self, code: &'static str, sha256: Option<String>) -> Result<(), NotKept> {
        let mut details = BTreeMap::from([("reason".to_owned(), code.to_owned())]);
        details.extend(sha256.map(|sha256| ("token_sha256".to_owned(), sha256)));
        let noticed = self.recorder.notice(Kind::SignalRefused, details).await;
        noticed.map(drop).map_err(|error| NotKept(error.to_string()))
    }
}

/// What is on record of one event: once for each party it is about, and once when it names none.
fn details_of(signal: &Signal) -> Vec<BTreeMap<String, String>> {
    let common = BTreeMap::from([
        ("effect".to_owned(), signal.effect.as_str().to_owned()),
        ("event".to_owned(), signal.event.clone()),
        ("jti".to_owned(), signal.jti.clone()),
        ("token_sha256".to_owned(), signal.sha256.clone()),
        ("transmitter".to_owned(), signal.transmitter.clone()),
        ("up_to".to_owned(), signal.at.to_string()),
    ]);
    if signal.subjects.is_empty() {
        return vec![common];
    }
    let of = |subject: &identity::Subject| {
        let mut details = common.clone();
        details.insert("iss".to_owned(), subject.iss.clone());
        details.insert("sub".to_owned(), subject.sub.clone());
        details
    };
    signal.subjects.iter().map(of).collect()
}
