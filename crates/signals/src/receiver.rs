//! The push endpoint (RFC 8935): from a request to its answer. What a push revokes is revoked before it is kept,
//! and kept before it is acknowledged.

use async_trait::async_trait;
use event::Time;
use identity::statement::{Signer, Statement};
use identity::{Reason, Rejection, Revocations, Subject};
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::token::{self, Event, SaidEvent, Unusable};

/// Media type of a security event token (RFC 8417 section 7.2).
pub const CONTENT_TYPE: &str = "application/secevent+jwt";

/// Most bytes of a push.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A party that tells of others.
#[derive(Debug)]
pub struct Transmitter {
    /// Who signs.
    pub signer: Signer,
    /// Its `iss`.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// Issuers of whose subjects it may speak.
    pub speaks_for: Vec<String>,
    /// Events that revoke; others are on record only.
    pub revoke_on: Vec<Event>,
}

/// What one event of a token came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Name of the transmitter in the configuration.
    pub transmitter: String,
    /// Identifier of the token.
    pub jti: String,
    /// SHA-256 of the token, lowercase hex.
    pub sha256: String,
    /// URI of the event's type, from a verified token.
    pub event: String,
    /// Whom it is about.
    pub subjects: Vec<Subject>,
    /// When it happened: what was issued up to then does not count.
    pub at: Time,
    /// What followed.
    pub effect: Effect,
}

/// What followed from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is none of those that revoke.
    None,
    /// Nothing: the transmitter may not speak of this subject.
    NotAllowed,
    /// What its subjects showed so far does not count any more.
    Revoked,
    /// Nothing: it names nobody by issuer and subject.
    UnknownSubject,
}

impl Effect {
    /// The word on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NotAllowed => "not-allowed",
            Self::Revoked => "revoked",
            Self::UnknownSubject => "unknown-subject",
        }
    }
}

/// Why something could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(pub String);

/// Who puts on record what came.
#[async_trait]
pub trait Keeper: fmt::Debug + Send + Sync {
    /// Keeps what one token came to, and what is revoked now; durable on return.
    async fn keep(&self, signals: &[Signal]) -> Result<(), NotKept>;

    /// Keeps that a push was refused, with the code of RFC 8935 section 2.4 and, where it was read so far, the
    /// digest of the token. Called a bounded number of times in a minute.
    async fn refused(&self, code: &'static str, sha256: Option<String>) -> Result<(), NotKept>;
}

/// An answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// A JSON object, or nothing.
    pub body: Option<String>,
}

/// Takes pushes.
#[derive(Debug)]
pub struct Receiver {
    transmitters: Vec<Transmitter>,
    revocations: Arc<Revocations>,
    keeper: Arc<dyn Keeper>,
    memory: Mutex<Memory>,
}

/// Held for a look or a change, never across an await.
#[derive(Debug, Default)]
struct Memory {
    /// Digests of tokens that were acknowledged; sent again, they have no second effect.
    known: HashSet<String>,
    order: VecDeque<String>,
    /// The minute since 1970 in which refusals are counted, and how many there were.
    refused: (i64, u32),
}

impl Receiver {
    /// A receiver that believes these, each about some.
    #[must_use]
    pub fn new(
        transmitters: Vec<Transmitter>,
        revocations: Arc<Revocations>,
        keeper: Arc<dyn Keeper>,
    ) -> Self {
        Self { transmitters, revocations, keeper, memory: Mutex::default() }
    }

    /// Takes one push: the values of its `Content-Type` headers and its body.
    pub async fn push(&self, content_type: &[&[u8]], body: &[u8], now: Time) -> Answer {
        match self.take(content_type, body, now).await {
            Ok(()) => Answer { status: 202, body: None },
            Err(Refused::Later(problem)) => {
                tracing::error!(problem, "a pushed signal could not be taken now");
                Answer { status: 503, body: None }
            }
            Err(Refused::Never { code, description, sha256 }) => {
                tracing::warn!(code, description, "a pushed signal was refused");
                if self.may_record_refusal(now)
                    && let Err(error) = self.keeper.refused(code, sha256).await
                {
                    tracing::error!(%error, "a refused signal could not be put on record");
                }
                let body = json!({"err": code, "description": description}).to_string();
                Answer { status: 400, body: Some(body) }
            }
        }
    }

    async fn take(&self, content_type: &[&[u8]], body: &[u8], now: Time) -> Result<(), Refused> {
        let [one] = content_type else { return Err(invalid("send one content type")) };
        let essence = one.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !essence.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) {
            return Err(invalid("the content type must be application/secevent+jwt"));
        }
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= BODY_BYTES_MAX);
        let text = text.ok_or_else(|| invalid("the body must be one token of at most 64 KiB"))?;
        let (transmitter, statement) = self.signed(text.trim_ascii(), now).await?;
        if self.memory().known.contains(&statement.sha256) {
            return Ok(());
        }
        let whose = (transmitter.issuer.as_str(), transmitter.audience.as_str());
        let said = token::read(&statement.claims, whose, now).map_err(|unusable| {
            let code = match unusable {
                Unusable::Audience => "invalid_audience",
                Unusable::Claim(..) => "invalid_request",
            };
            let (description, sha256) = (unusable.to_string(), Some(statement.sha256.clone()));
            Refused::Never { code, description, sha256 }
        })?;
        let mut signals = Vec::new();
        for event in said.events {
            let effect = self.follow(transmitter, &event, now)?;
            signals.push(Signal {
                transmitter: transmitter.signer.name().to_owned(),
                jti: said.jti.clone(),
                sha256: statement.sha256.clone(),
                event: event.uri,
                subjects: event.subjects,
                at: event.at,
                effect,
            });
        }
        self.keeper.keep(&signals).await.map_err(|error| Refused::Later(error.to_string()))?;
        self.memory().remember(statement.sha256);
        Ok(())
    }

    /// Who signed it.
    async fn signed(&self, text: &str, now: Time) -> Result<(&Transmitter, Statement), Refused> {
        for transmitter in &self.transmitters {
            match transmitter.signer.verify(text, now).await {
                Ok(statement) => return Ok((transmitter, statement)),
                Err(rejection) if rejection.reason == Reason::UnknownIssuer => {}
                Err(rejection) => return Err(unsigned(&rejection)),
            }
        }
        let description = "the issuer of the token is not a configured transmitter".to_owned();
        Err(Refused::Never { code: "invalid_issuer", description, sha256: None })
    }

    /// Does at once what an event calls for.
    fn follow(
        &self,
        transmitter: &Transmitter,
        said: &SaidEvent,
        now: Time,
    ) -> Result<Effect, Refused> {
        if !said.event.is_some_and(|event| transmitter.revoke_on.contains(&event)) {
            return Ok(Effect::None);
        }
        if said.subjects.is_empty() {
            return Ok(Effect::UnknownSubject);
        }
        let may = |subject: &&Subject| transmitter.speaks_for.contains(&subject.iss);
        let own: Vec<_> = said.subjects.iter().filter(may).cloned().collect();
        if own.is_empty() {
            return Ok(Effect::NotAllowed);
        }
        let revoked = own.into_iter().map(|subject| (subject, said.at));
        let done = self.revocations.restore(revoked, now);
        done.map_err(|full| Refused::Later(full.to_string()))?;
        Ok(Effect::Revoked)
    }

    fn may_record_refusal(&self, now: Time) -> bool {
        let minute = now.unix_us().div_euclid(60_000_000);
        let mut memory = self.memory();
        if memory.refused.0 != minute {
            memory.refused = (minute, 0);
        }
        memory.refused.1 = memory.refused.1.saturating_add(1);
        memory.refused.1 <= REFUSALS_MAX
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn remember(&mut self, sha256: String) {
        if self.order.len() >= KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(sha256.clone()) {
            self.order.push_back(sha256);
        }
    }
}

/// Why a push is not taken.
enum Refused {
    /// The fault is ours: the transmitter tries again.
    Later(String),
    /// It is of no use, now or later.
    Never { code: &'static str, description: String, sha256: Option<String> },
}

fn invalid(description: &str) -> Refused {
    let description = description.to_owned();
    Refused::Never { code: "invalid_request", description, sha256: None }
}

fn unsigned(rejection: &Rejection) -> Refused {
    if rejection.is_retryable() {
        return Refused::Later("the keys of a transmitter cannot be loaded".to_owned());
    }
    let code = match rejection.reason {
        Reason::InvalidSignature | Reason::UnknownKey | Reason::UnsupportedAlgorithm => {
            "invalid_key"
        }
        _ => "invalid_request",
    };
    let description = rejection.client_message().to_owned();
    Refused::Never { code, description, sha256: rejection.details.token_sha256.clone() }
}

/// Tokens that are remembered; transmitters send one again within minutes.
const KNOWN_MAX: usize = 10_000;

/// Refusals on record in a minute: anybody can send nonsense.
const REFUSALS_MAX: u32 = 60;
