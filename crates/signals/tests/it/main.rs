//! Pushes as a transmitter sends them, signed by an issuer of its own.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up is a failed test")]

use async_trait::async_trait;
use event::{Actor, Evidence, EvidenceKind, Hop, HopRole, Level, Time};
use identity::dev::TokenIssuer;
use identity::statement::Signer;
use identity::{ProviderConfig, Revocations};
use serde_json::{Value, json};
use signals::{
    Answer, BODY_BYTES_MAX, CONTENT_TYPE, Effect, Event, Keeper, NotKept, Receiver, Signal,
    Transmitter,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const IDP: &str = "https://idp.example";
const OTHER: &str = "https://other.example";
const AUDIENCE: &str = "https://gw.example/ssf";
const NOW_S: i64 = 1_800_000_000;

fn at(seconds: i64) -> Time {
    Time::from_unix_us(seconds * 1_000_000)
}

#[derive(Debug, Default)]
struct Kept {
    signals: Mutex<Vec<Signal>>,
    refused: Mutex<Vec<&'static str>>,
    broken: AtomicBool,
}

#[async_trait]
impl Keeper for Kept {
    async fn keep(&self, signals: &[Signal]) -> Result<(), NotKept> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(NotKept("no room".to_owned()));
        }
        self.signals.lock().unwrap().extend_from_slice(signals);
        Ok(())
    }

    async fn refused(&self, code: &'static str, _: Option<String>) -> Result<(), NotKept> {
        self.refused.lock().unwrap().push(code);
        Ok(())
    }
}

struct Scene {
    issuer: TokenIssuer,
    revocations: Arc<Revocations>,
    kept: Arc<Kept>,
    receiver: Receiver,
}

impl Scene {
    fn new() -> Self {
        let issuer = TokenIssuer::generate(IDP, "k1").unwrap();
        let config = ProviderConfig {
            name: "idp".to_owned(),
            issuer: IDP.to_owned(),
            typ: Some(vec!["secevent+jwt".to_owned()]),
            ..ProviderConfig::default()
        };
        let transmitter = Transmitter {
            signer: Signer::with_source(&config, issuer.key_source()),
            issuer: IDP.to_owned(),
            audience: AUDIENCE.to_owned(),
            speaks_for: vec![IDP.to_owned()],
            revoke_on: vec![Event::SessionRevoked, Event::AccountDisabled],
        };
        let (revocations, kept) = (Arc::<Revocations>::default(), Arc::<Kept>::default());
        let keeper = Arc::<Kept>::clone(&kept);
        let receiver = Receiver::new(vec![transmitter], Arc::clone(&revocations), keeper);
        Self { issuer, revocations, kept, receiver }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "k1", "typ": "secevent+jwt"}).to_string();
        self.issuer.sign(&header, &claims.to_string()).unwrap()
    }

    async fn push(&self, body: &str) -> Answer {
        self.receiver.push(&[CONTENT_TYPE.as_bytes()], body.as_bytes(), at(NOW_S)).await
    }

    async fn refusal(&self, body: &str) -> String {
        let answer = self.push(body).await;
        assert_eq!(answer.status, 400);
        let body: Value = serde_json::from_str(&answer.body.unwrap()).unwrap();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap().to_owned();
        assert!(!text("description").is_empty());
        text("err")
    }

    fn counts(&self, iss: &str, sub: &str) -> bool {
        let evidence = Evidence {
            iss: Some(iss.to_owned()),
            iat: Some(at(NOW_S - 100)),
            ..Evidence::new(EvidenceKind::Jwt)
        };
        let (level, role) = (Level::VerifiedBearer, HopRole::Human);
        let hop = Hop { evidence, id: sub.to_owned(), level, role };
        self.revocations.revoked(&Actor { chain: [hop].into(), ..Actor::anonymous() }).is_none()
    }

    fn effects(&self) -> Vec<Effect> {
        self.kept.signals.lock().unwrap().iter().map(|signal| signal.effect).collect()
    }
}

fn claims(event: Event, about: &Value) -> Value {
    json!({"iss": IDP, "aud": AUDIENCE, "iat": NOW_S, "jti": "set-1", "sub_id": about,
           "events": {event.uri(): {"event_timestamp": NOW_S - 10}}})
}

fn party(iss: &str, sub: &str) -> Value {
    json!({"format": "iss_sub", "iss": iss, "sub": sub})
}

#[tokio::test]
async fn a_revoked_session_counts_no_more() {
    let scene = Scene::new();
    let token = scene.sign(&claims(Event::SessionRevoked, &party(IDP, "alice")));
    assert!(scene.counts(IDP, "alice"));
    assert_eq!(scene.push(&token).await, Answer { status: 202, body: None });
    assert!(!scene.counts(IDP, "alice"));
    assert!(scene.counts(IDP, "bob"));
    let kept = scene.kept.signals.lock().unwrap().clone();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].transmitter.as_str(), kept[0].jti.as_str()), ("idp", "set-1"));
    assert_eq!((kept[0].effect, kept[0].at), (Effect::Revoked, at(NOW_S - 10)));
    // Sent again, it is received again, and nothing else.
    assert_eq!(scene.push(&token).await.status, 202);
    assert_eq!(scene.effects(), [Effect::Revoked]);
}

#[tokio::test]
async fn nobody_speaks_for_others() {
    let scene = Scene::new();
    scene.push(&scene.sign(&claims(Event::SessionRevoked, &party(OTHER, "alice")))).await;
    assert!(scene.counts(OTHER, "alice"));
    scene.push(&scene.sign(&claims(Event::SessionRevoked, &json!({"format": "email"})))).await;
    scene.push(&scene.sign(&claims(Event::TokenClaimsChange, &party(IDP, "alice")))).await;
    assert!(scene.counts(IDP, "alice"));
    assert_eq!(scene.effects(), [Effect::NotAllowed, Effect::UnknownSubject, Effect::None]);
}

#[tokio::test]
async fn what_cannot_be_kept_is_revoked_and_not_acknowledged() {
    let scene = Scene::new();
    scene.kept.broken.store(true, Ordering::SeqCst);
    let token = scene.sign(&claims(Event::AccountDisabled, &party(IDP, "alice")));
    assert_eq!(scene.push(&token).await.status, 503);
    assert!(!scene.counts(IDP, "alice"));
    scene.kept.broken.store(false, Ordering::SeqCst);
    assert_eq!(scene.push(&token).await.status, 202);
    assert_eq!(scene.effects(), [Effect::Revoked]);
}

#[tokio::test]
async fn what_nobody_signed_is_refused() {
    let scene = Scene::new();
    let good = claims(Event::SessionRevoked, &party(IDP, "alice"));
    let token = scene.sign(&good);
    let foreign = Scene::new();
    assert_eq!(scene.refusal(&foreign.sign(&good)).await, "invalid_key");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        scene.sign(&claims)
    };
    assert_eq!(scene.refusal(&with("iss", json!(OTHER))).await, "invalid_issuer");
    assert_eq!(scene.refusal(&with("aud", json!(OTHER))).await, "invalid_audience");
    assert_eq!(scene.refusal(&with("events", json!({}))).await, "invalid_request");
    let plain = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}).to_string();
    // RFC 8417 section 3: an access token is no security event token.
    let access = scene.issuer.sign(&plain, &good.to_string()).unwrap();
    assert_eq!(scene.refusal(&access).await, "invalid_request");
    for body in [
        "",
        "x",
        token.strip_prefix("ey").unwrap(),
        &token.replace('.', ""),
        &"a".repeat(BODY_BYTES_MAX + 1),
    ] {
        assert_eq!(scene.refusal(body).await, "invalid_request", "{body:.20}");
    }
    let types: [&[&[u8]]; 3] =
        [&[], &[b"application/json"], &[CONTENT_TYPE.as_bytes(), CONTENT_TYPE.as_bytes()]];
    for content_type in types {
        let answer = scene.receiver.push(content_type, token.as_bytes(), at(NOW_S)).await;
        assert_eq!(answer.status, 400);
    }
    assert!(scene.counts(IDP, "alice"));
    assert!(scene.effects().is_empty());
}

#[tokio::test]
async fn strangers_cannot_fill_the_record() {
    let scene = Scene::new();
    for _ in 0..200 {
        scene.refusal("nonsense").await;
    }
    assert_eq!(scene.kept.refused.lock().unwrap().len(), 60);
    scene.receiver.push(&[], b"", at(NOW_S + 60)).await;
    assert_eq!(scene.kept.refused.lock().unwrap().len(), 61);
}

/// Every byte of a token counts.
#[tokio::test]
async fn no_altered_token_revokes() {
    let scene = Scene::new();
    let token = scene.sign(&claims(Event::SessionRevoked, &party(IDP, "alice")));
    for place in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let pushed = scene.receiver.push(&[CONTENT_TYPE.as_bytes()], &altered, at(NOW_S)).await;
        assert_eq!(pushed.status, 400, "byte {place}");
    }
    assert!(scene.counts(IDP, "alice") && scene.effects().is_empty());
}
