//! Asks the witnesses of a policy to cosign a checkpoint (C2SP tlog-witness): all at once, each within
//! its time, and takes nothing from them that does not verify.
//!
//! Knows nothing of when a checkpoint may be published, and keeps nothing on disk.

mod reply;
mod wire;

pub use wire::BadUrl;

use crate::logs::origin_hash;
use crate::request::{PROOF_LINES_MAX, Request};
use note::{Checkpoint, CheckpointError, CosignError, Hash, Note, Policy, Seen, cosigned};
use reply::{Cosignature, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::{Answer, Wire};

/// How long to wait for witnesses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time for all witnesses together, from question to last answer.
    pub timeout: Duration,
    /// Time to wait for further witnesses once there is a quorum: more cosignatures than are needed
    /// help those who trust other witnesses.
    pub extra: Duration,
    /// Time for one connection to come about.
    pub connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            extra: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(2),
        }
    }
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The checkpoint, with every cosignature that verified, in the order of the policy.
    pub note: String,
    /// Who cosigned.
    pub seen: Vec<Seen>,
    /// Who did not, of those that have an address, and why.
    pub failures: Vec<Failure>,
    /// Whether those who did are enough.
    pub quorum: bool,
}

/// A witness that did not cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its name in the policy.
    pub witness: String,
    /// Why.
    pub reason: Reason,
}

/// What one witness knows of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name in the policy.
    pub witness: String,
    /// The size of the latest checkpoint it cosigned. A larger one than the log has means that the
    /// log lost entries.
    pub size: Result<u64, Reason>,
    /// The cosigned checkpoint itself, when it is larger than the log's own and the witness shows it.
    /// It names the log and is cosigned by this witness.
    pub note: Option<String>,
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No connection came about, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// It had not answered when enough others had.
    #[error("it had not answered when a quorum had")]
    NotAwaited,
    /// It refused.
    #[error("it refused with {status}: {message}")]
    Refused {
        /// The HTTP status. 422: it cosigned another history; 404: it does not serve this log.
        status: u16,
        /// The beginning of what it said, with everything escaped that is not plain text.
        message: String,
    },
    /// It cosigned a larger tree than this one.
    #[error("it cosigned {held} entries of this log, which has only {size}: the log went back")]
    Ahead {
        /// What it cosigned.
        held: u64,
        /// The size that it was asked to cosign.
        size: u64,
    },
    /// It knows less than it cosigned before.
    #[error("it cosigned {before} entries before and says {held} now: its memory went back")]
    WentBack {
        /// What it says.
        held: u64,
        /// What it cosigned.
        before: u64,
    },
    /// Its size changed while it was asked, or it says one thing and does another.
    #[error("it says that it cosigned {0} entries and does not take a proof from there")]
    Unsteady(u64),
    /// There is no proof from what it cosigned.
    #[error("there is no proof from what it cosigned: {0}")]
    NoProof(String),
    /// What it said is not in the form of tlog-witness.
    #[error("its answer is out of form: {0}")]
    BadAnswer(&'static str),
    /// It sent a line by its key that does not verify.
    #[error("it sent a cosignature that does not verify")]
    BadSignature,
    /// It cosigned, but not with this key.
    #[error("it did not cosign with this key")]
    NoSignature,
}

/// The witnesses of a policy that have an address.
#[derive(Debug)]
pub struct Client {
    policy: Arc<Policy>,
    peers: Vec<Arc<Peer>>,
    settings: Settings,
}

/// One address; a witness with two keys is in the policy twice and is asked once.
#[derive(Debug)]
struct Peer {
    wire: Wire,
    /// Its places in the policy.
    places: Vec<usize>,
    /// The log and size of the last checkpoint it cosigned for this client.
    last: Mutex<Option<(String, u64)>>,
}

/// What all witnesses are asked.
#[derive(Debug)]
struct Question {
    checkpoint: Checkpoint,
    note: String,
    text: String,
    policy: Arc<Policy>,
}

impl Client {
    /// A client of the witnesses in a policy. Connects when first used.
    ///
    /// # Errors
    /// [`BadUrl`] when the address of a witness cannot be used.
    pub fn new(policy: Policy, settings: Settings) -> Result<Self, BadUrl> {
        let connections = wire::connections(settings.connect_timeout)?;
        let mut by_url: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, witness) in policy.witnesses().iter().enumerate() {
            if let Some(url) = &witness.url {
                let url = url.trim_end_matches('/').to_owned();
                by_url.entry(url).or_default().push(place);
            }
        }
        let peer = |(url, places): (String, Vec<usize>)| {
            let wire = Wire::new(connections.clone(), &url)?;
            Ok(Arc::new(Peer { wire, places, last: Mutex::new(None) }))
        };
        let peers = by_url.into_iter().map(peer).collect::<Result<_, BadUrl>>()?;
        Ok(Self { policy: Arc::new(policy), peers, settings })
    }

    /// The policy whose witnesses are asked.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Has a signed checkpoint cosigned. `prove` gives the consistency proof from a smaller size to
    /// the size of the checkpoint (RFC 6962 section 2.1.2), or says why there is none; it is not asked
    /// where no proof is needed.
    ///
    /// Cosignatures that the note has already count, and their witnesses are not asked again. Takes
    /// no longer than [`Settings::timeout`].
    ///
    /// # Errors
    /// [`CosignError`] when the note is no checkpoint, or a cosignature in it does not verify. What
    /// witnesses do wrong is not an error but in [`Cosigned::failures`].
    pub async fn cosign<P, F>(&self, note: &str, prove: P) -> Result<Cosigned, CosignError>
    where
        P: Fn(u64) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Vec<Hash>, String>> + Send + 'static,
    {
        let (question, mut answers) = self.question(note)?;
        let deadline = Instant::now() + self.settings.timeout;
        let mut asked = JoinSet::new();
        for (index, peer) in self.peers.iter().enumerate() {
            if peer.places.iter().all(|place| answers.found.contains_key(place)) {
                continue;
            }
            let (peer, question, prove) = (Arc::clone(peer), Arc::clone(&question), prove.clone());
            asked.spawn(async move { (index, peer.cosign(&question, &prove).await) });
        }
        let mut until = deadline;
        while let Ok(Some(joined)) = tokio::time::timeout_at(until, asked.join_next()).await {
            let Ok((index, answer)) = joined else { continue };
            answers.take(index, answer);
            if until == deadline && self.quorum(&answers) {
                until = deadline.min(Instant::now() + self.settings.extra);
            }
        }
        let missing = if until < deadline { Reason::NotAwaited } else { Reason::TimedOut };
        Ok(self.outcome(&question, &answers, &missing))
    }

    /// Asks every witness how much it cosigned of the log of this checkpoint, by submitting it with the
    /// old size 0. A witness that never cosigned the log takes the checkpoint as its first.
    ///
    /// # Errors
    /// [`CosignError`] when the note is no checkpoint.
    pub async fn ask_sizes(&self, note: &str) -> Result<Vec<Known>, CosignError> {
        let (question, _) = self.question(note)?;
        let deadline = Instant::now() + self.settings.timeout;
        let mut asked = JoinSet::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let (peer, question) = (Arc::clone(peer), Arc::clone(&question));
            asked.spawn(async move { (index, peer.known(&question).await) });
        }
        let mut answers = BTreeMap::new();
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, asked.join_next()).await {
            answers.extend(joined.ok());
        }
        let mut known = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let answer = answers.remove(&index);
            let (size, note) = answer.unwrap_or((Err(Reason::TimedOut), None));
            for place in &peer.places {
                let witness = self.name(*place);
                known.push((*place, Known { witness, size: size.clone(), note: note.clone() }));
            }
        }
        known.sort_by_key(|(place, _)| *place);
        Ok(known.into_iter().map(|(_, known)| known).collect())
    }

    fn question(&self, note: &str) -> Result<(Arc<Question>, Answers), CosignError> {
        let parsed = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        let mut answers = Answers::default();
        for (place, witness) in self.policy.witnesses().iter().enumerate() {
            if let Some(time_s) = cosigned(&parsed, &witness.key)? {
                answers.found.insert(place, (None, time_s));
            }
        }
        let question = Question {
            checkpoint,
            note: note.to_owned(),
            text: parsed.text().to_owned(),
            policy: Arc::clone(&self.policy),
        };
        Ok((Arc::new(question), answers))
    }

    fn quorum(&self, answers: &Answers) -> bool {
        let names: Vec<String> = answers.found.keys().map(|place| self.name(*place)).collect();
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        self.policy.satisfied_by(&names)
    }

    fn name(&self, place: usize) -> String {
        self.policy.witnesses().get(place).map(|one| one.name.clone()).unwrap_or_default()
    }

    fn outcome(&self, question: &Question, answers: &Answers, missing: &Reason) -> Cosigned {
        let quorum = self.quorum(answers);
        let mut note = question.note.clone();
        let mut seen = Vec::new();
        for (place, (line, time_s)) in &answers.found {
            note.push_str(line.as_deref().unwrap_or_default());
            seen.push(Seen { witness: self.name(*place), time_s: *time_s });
        }
        let mut failures = BTreeMap::new();
        for (index, peer) in self.peers.iter().enumerate() {
            for place in peer.places.iter().filter(|place| !answers.found.contains_key(place)) {
                let reason = match answers.ended.get(&index) {
                    None => missing.clone(),
                    Some(Err(reason)) => reason.clone(),
                    Some(Ok(wrong)) if wrong.contains(place) => Reason::BadSignature,
                    Some(Ok(_)) => Reason::NoSignature,
                };
                failures.insert(*place, Failure { witness: self.name(*place), reason });
            }
        }
        Cosigned { note, seen, failures: failures.into_values().collect(), quorum }
    }
}

/// What came back so far.
#[derive(Debug, Default)]
struct Answers {
    /// By the place in the policy: the line, unless the note has it, and its time.
    found: BTreeMap<usize, (Option<String>, u64)>,
    /// By peer: the places whose lines were wrong, or why there was no answer.
    ended: BTreeMap<usize, Result<Vec<usize>, Reason>>,
}

impl Answers {
    fn take(&mut self, index: usize, answer: Result<Reply, Reason>) {
        let ended = answer.map(|reply| {
            for Cosignature { place, line, time_s } in reply.cosignatures {
                self.found.entry(place).or_insert((Some(line), time_s));
            }
            reply.wrong
        });
        self.ended.insert(index, ended);
    }
}

impl Peer {
    /// Submits, and once more with the right size if the witness names another.
    async fn cosign<P, F>(&self, question: &Question, prove: &P) -> Result<Reply, Reason>
    where
        P: Fn(u64) -> F,
        F: Future<Output = Result<Vec<Hash>, String>>,
    {
        let Checkpoint { origin, size, .. } = &question.checkpoint;
        let before = self.last(origin);
        let mut old = before.filter(|before| before <= size).unwrap_or(0);
        for _ in 0..ATTEMPTS {
            let proof = if old == 0 || old == *size {
                Vec::new()
            } else {
                prove(old).await.map_err(Reason::NoProof)?
            };
            match self.submit(question, old, proof).await? {
                Answer::Cosigned(body) => {
                    let reply = reply::read(&body, &question.text, question.policy.witnesses())?;
                    if !reply.cosignatures.is_empty() {
                        self.remember(origin, *size);
                    }
                    return Ok(reply);
                }
                Answer::Stale(held) if *size < held => {
                    return Err(Reason::Ahead { held, size: *size });
                }
                Answer::Stale(held) => match before {
                    Some(before) if held < before => {
                        return Err(Reason::WentBack { held, before });
                    }
                    // To be told the size that was sent leads nowhere: so did witnesses say of a
                    // fork before there was 422.
                    _ if held == old => return Err(Reason::Unsteady(held)),
                    _ => old = held,
                },
            }
        }
        Err(Reason::Unsteady(old))
    }

    /// The size it cosigned, and if that is beyond the log's own, the checkpoint.
    async fn known(&self, question: &Question) -> (Result<u64, Reason>, Option<String>) {
        match self.submit(question, 0, Vec::new()).await {
            Ok(Answer::Stale(held)) if question.checkpoint.size < held => {
                (Ok(held), self.show(question).await)
            }
            Ok(Answer::Stale(held)) => (Ok(held), None),
            Ok(Answer::Cosigned(_)) => (Ok(question.checkpoint.size), None),
            Err(reason) => (Err(reason), None),
        }
    }

    /// The latest checkpoint of the log from the monitoring side, if it is there and verifies.
    async fn show(&self, question: &Question) -> Option<String> {
        let origin = &question.checkpoint.origin;
        let body = self.wire.show(&format!("{}/checkpoint", origin_hash(origin))).await?;
        let parsed = Note::parse(&body).ok()?;
        let checkpoint = crate::request::read_checkpoint(parsed.text()).ok()?;
        let witnesses = question.policy.witnesses();
        let mut own = self.places.iter().filter_map(|place| witnesses.get(*place));
        let known = own.any(|one| matches!(cosigned(&parsed, &one.key), Ok(Some(_))));
        let note = (known && checkpoint.origin == *origin).then_some(body)?;
        String::from_utf8(note.to_vec()).ok()
    }

    async fn submit(
        &self,
        question: &Question,
        old: u64,
        proof: Vec<Hash>,
    ) -> Result<Answer, Reason> {
        if PROOF_LINES_MAX < proof.len() {
            return Err(Reason::NoProof("the proof is too long".to_owned()));
        }
        let request = Request { old, proof, note: question.note.as_bytes() };
        self.wire.submit(request.encode()).await
    }

    fn last(&self, origin: &str) -> Option<u64> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(log, _)| log == origin).map(|(_, size)| *size)
    }

    fn remember(&self, origin: &str, size: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((origin.to_owned(), size));
    }
}

/// A first question, and one with the size that the witness named.
const ATTEMPTS: u32 = 2;
