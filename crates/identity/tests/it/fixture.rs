//! A verifier with one provider, its issuer, and a key source whose content and failures the test sets.

use event::{Actor, Time};
use identity::dev::TokenIssuer;
use identity::{
    Config, KeyError, KeySource, Loading, Presented, ProviderConfig, Rejection, Verifier,
};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://gw.example/mcp";

/// The time of most tests: 2027-01-15T08:00:00Z.
pub(crate) fn now() -> Time {
    after(0)
}

pub(crate) fn after(seconds: i64) -> Time {
    Time::from_unix_us((NOW_S + seconds) * 1_000_000)
}

pub(crate) const NOW_S: i64 = 1_800_000_000;

/// Runs a test's future on one thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A key source that the test controls.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    answer: Arc<Mutex<Result<String, KeyError>>>,
    loads: Arc<AtomicUsize>,
    /// A load takes one permit; without any it waits.
    gate: Arc<Semaphore>,
}

impl Scripted {
    pub(crate) fn new(answer: Result<String, KeyError>) -> Self {
        Self {
            answer: Arc::new(Mutex::new(answer)),
            loads: Arc::default(),
            gate: Arc::new(Semaphore::new(1_000)),
        }
    }

    pub(crate) fn answers(&self, answer: Result<String, KeyError>) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn close_gate(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(1_000);
    }
}

impl KeySource for Scripted {
    fn load(&self) -> Loading<'_> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.answer.lock().unwrap().clone().map(String::into_bytes)
        })
    }
}

/// A provider `ci` that trusts [`ISSUER`]; its keys come from where the test says.
pub(crate) fn provider() -> ProviderConfig {
    ProviderConfig {
        name: "ci".to_owned(),
        issuer: ISSUER.to_owned(),
        jwks_url: Some("https://issuer.example/jwks".to_owned()),
        token_lifetime_max_s: Some(3_600),
        ..ProviderConfig::default()
    }
}

pub(crate) fn config(provider: ProviderConfig) -> Config {
    Config { audience: AUDIENCE.to_owned(), provider: vec![provider], ..Config::default() }
}

pub(crate) fn verifier(config: &Config, source: &Scripted) -> Verifier {
    let source: Box<dyn KeySource> = Box::new(source.clone());
    Verifier::with_sources(config, HashMap::from([("ci".to_owned(), source)])).unwrap()
}

pub(crate) fn issuer(kid: &str) -> TokenIssuer {
    TokenIssuer::generate(ISSUER, kid).unwrap()
}

/// The key set of several issuers at once.
pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A token that is all right at [`now`].
pub(crate) fn good(issuer: &TokenIssuer) -> String {
    issuer.token("agent-1", AUDIENCE, now(), 600).unwrap()
}

pub(crate) async fn present(
    verifier: &Verifier,
    token: &str,
    now: Time,
) -> Result<Actor, Rejection> {
    show(verifier, &[format!("Bearer {token}").as_bytes()], now).await
}

/// What becomes of a request with these `Authorization` headers and nothing else.
pub(crate) async fn show(
    verifier: &Verifier,
    authorization: &[&[u8]],
    now: Time,
) -> Result<Actor, Rejection> {
    verifier.verify(&Presented { authorization, ..Presented::default() }, now).await
}

/// The header parameter or registered claim that did not fit.
pub(crate) fn attribute(rejection: &Rejection) -> Option<&'static str> {
    match rejection.details.attribute {
        Some(Cow::Borrowed(name)) => Some(name),
        // Only rules that an operator writes have names of their own.
        Some(Cow::Owned(_)) | None => None,
    }
}

/// One issuer `k1`, its source and a verifier that trusts it.
pub(crate) struct Scene {
    pub(crate) issuer: TokenIssuer,
    pub(crate) source: Scripted,
    pub(crate) verifier: Verifier,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(provider())
    }

    pub(crate) fn with(provider: ProviderConfig) -> Self {
        let issuer = issuer("k1");
        let source = Scripted::new(Ok(issuer.jwks()));
        let verifier = verifier(&config(provider), &source);
        Self { issuer, source, verifier }
    }

    pub(crate) fn present(&self, token: &str) -> Result<Actor, Rejection> {
        block_on(present(&self.verifier, token, now()))
    }
}
