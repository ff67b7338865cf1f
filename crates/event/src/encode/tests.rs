use crate::{
    Actor, ActorKind, Answered, Asked, Basis, CacheUse, CallId, Certificate, Chain, ClaimedClient,
    Credential, Decision, Direction, ENTRY_BYTES_MAX, Effect, Environment, Event, EventId,
    Evidence, EvidenceKind, Hop, HopRole, Kind, LeafHash, Level, MethodClass, Outcome, Payload,
    Proof, Refusal, Refused, Resource, ResourceKind, Sequence, Stamp, Status, TaskState, Time,
    Transport, bounded,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

fn stamp(n: u128, text: &str) -> Stamp {
    Stamp {
        id: EventId(Uuid::from_u128(n)),
        environment: Environment {
            gateway: text.to_owned(),
            monotonic_us: 42,
            peer: Some("127.0.0.1:9".to_owned()),
            region: Some("eu-1".to_owned()),
            time: Time::from_unix_us(1_795_336_620_123_456),
            transport: Some(Transport::Http),
        },
    }
}

fn actor(text: &str) -> Actor {
    let evidence = Evidence {
        alg: Some("ES256".to_owned()),
        aud: Some("https://gw.example/mcp".to_owned()),
        exp: Some(Time::from_unix_us(1_795_336_920_000_000)),
        iat: Some(Time::from_unix_us(1_795_336_620_000_000)),
        iss: Some("https://issuer.example".to_owned()),
        jti: Some(text.to_owned()),
        key_thumbprint: Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".to_owned()),
        keys_fetched: Some(Time::from_unix_us(1_795_336_600_000_000)),
        kid: Some("k1".to_owned()),
        kind: EvidenceKind::Jwt,
        sub: None,
        token_sha256: Some("00ff".to_owned()),
        ..Evidence::new(EvidenceKind::Jwt)
    };
    Actor {
        chain: [Hop {
            evidence,
            id: text.to_owned(),
            level: Level::VerifiedBearer,
            role: HopRole::Workload,
        }]
        .into(),
        development: true,
        id: text.to_owned(),
        kind: ActorKind::Workload,
        level: Level::VerifiedBearer,
        provider: "ci".to_owned(),
        ..Actor::anonymous()
    }
}

fn resource(text: &str) -> Resource {
    Resource {
        class: MethodClass::Write,
        kind: ResourceKind::Tool,
        method: "tools/call".to_owned(),
        names: vec![text.to_owned()],
        server: "crm".to_owned(),
    }
}

fn decision(text: &str) -> Decision {
    Decision {
        basis: Basis::Permit,
        determining: vec![text.to_owned()],
        effect: Effect::Permit,
        engine: "cedar 4.14".to_owned(),
        errors: vec!["broken".to_owned()],
        policy_set: "sha256:aa".to_owned(),
        schema: "sha256:bb".to_owned(),
    }
}

/// One event of every kind, with every optional field present somewhere.
fn every_kind(text: &str) -> Vec<Event> {
    let call = CallId(Uuid::from_u128(7));
    let client = Some(ClaimedClient { name: text.to_owned(), version: Some("1".to_owned()) });
    let details = BTreeMap::from([
        ("policy_set".to_owned(), text.to_owned()),
        ("a".to_owned(), "b".to_owned()),
    ]);
    let outcome = Outcome {
        code: Some(-32_602),
        http_status: Some(200),
        ..Outcome::new(Status::ProtocolError, 1_234)
    };
    vec![
        Event::asked(
            stamp(1, text),
            Asked {
                call,
                actor: actor(text),
                direction: Direction::ToServer,
                resource: resource(text),
                decision: decision(text),
                request_bytes: 335,
                client: client.clone(),
                protocol: Some("2026-07-28".to_owned()),
                session: Some("sha256:00".to_owned()),
                chain: Chain::default(),
            },
        ),
        Event::answered(
            stamp(2, text),
            Answered {
                call,
                asked: 1,
                outcome,
                payload: Payload {
                    request_bytes: Some(335),
                    response_bytes: Some(10),
                    response_messages: Some(1),
                },
                session: None,
            },
        ),
        Event::refused(
            stamp(3, text),
            Refused {
                call,
                actor: Actor::anonymous(),
                direction: Direction::ToServer,
                resource: Some(resource(text)),
                decision: None,
                refusal: Refusal {
                    code: 40_100,
                    http_status: Some(401),
                    reason: "identity.missing".to_owned(),
                },
                request_bytes: 0,
                client,
                protocol: None,
                session: None,
                chain: Chain::default(),
            },
        ),
        Event::in_doubt(stamp(4, text), call, 1),
        Event::notice(stamp(5, text), Kind::PolicyChanged, details),
    ]
}

fn sequence(n: u64, previous: Option<u8>) -> Sequence {
    let previous = previous.map(|byte| LeafHash([byte; 32]));
    Sequence { n, previous, run: Uuid::from_u128(9) }
}

/// What came after the first golden file: sequences, and one event of each new kind.
fn in_sequence(text: &str) -> Vec<Event> {
    let sequenced = |n: u64, event: &Event| Event {
        sequence: Some(sequence(n, (n > 0).then_some(0xa0 + u8::try_from(n % 16).unwrap()))),
        ..event.clone()
    };
    let older = every_kind(text);
    let mut events: Vec<Event> = (0..).zip(&older).map(|(n, event)| sequenced(n, event)).collect();
    let ended = Event::session_ended(stamp(6, text), "sha256:00".to_owned());
    events.push(sequenced((1 << 53) - 1, &ended));
    for (n, kind) in (0..).zip(NEWER_KINDS) {
        let details = BTreeMap::from([("a".to_owned(), text.to_owned())]);
        events.push(sequenced(n, &Event::notice(stamp(7, "gw"), kind, details)));
    }
    events
}

/// What there was to say of the gateway itself when sequences came, and was not before.
const NEWER_KINDS: [Kind; 12] = [
    Kind::HoldLifted,
    Kind::HoldPlaced,
    Kind::KeyRecovery,
    Kind::KeyRetired,
    Kind::KeyRevoked,
    Kind::KeyRotated,
    Kind::LogAnchored,
    Kind::LogContinued,
    Kind::LogHeartbeat,
    Kind::LogPruned,
    Kind::LogRead,
    Kind::LogTimestamped,
];

/// What came after sequences: chains of calls, states of tasks, filtered lists and their kinds.
fn in_chains(text: &str) -> Vec<Event> {
    let chain = |follows: u128| Chain {
        follows: Some(CallId(Uuid::from_u128(follows))),
        root: Some(CallId(Uuid::from_u128(1))),
    };
    let mut events = Vec::new();
    for (event, follows) in every_kind(text).into_iter().zip(20..) {
        let Chain { follows, root } = chain(follows);
        let mut environment = event.environment.clone();
        environment.transport = Some(Transport::HttpSse);
        events.push(match event.kind {
            Kind::CallAsked | Kind::CallRefused => Event { follows, root, environment, ..event },
            _ => event,
        });
    }
    let call = CallId(Uuid::from_u128(1));
    let answered =
        |outcome| Answered { call, asked: 1, outcome, payload: Payload::default(), session: None };
    for state in [
        TaskState::Cancelled,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::InputRequired,
        TaskState::Working,
    ] {
        let outcome = Outcome { task: Some(state), ..Outcome::new(Status::Task, 7) };
        events.push(Event::answered(stamp(2, text), answered(outcome)));
    }
    let outcome = Outcome { filtered: Some(3), ..Outcome::new(Status::ListFiltered, 7) };
    events.push(Event::answered(stamp(2, text), answered(outcome)));
    for kind in
        [Kind::ConfigChanged, Kind::ConfigRejected, Kind::InventoryApproved, Kind::InventoryChanged]
    {
        let details = BTreeMap::from([("a".to_owned(), text.to_owned())]);
        events.push(Event::notice(stamp(7, "gw"), kind, details));
    }
    events
}

/// What came after chains: the handles that an answer gives out.
fn with_handles(text: &str) -> Vec<Event> {
    let answered = every_kind(text).into_iter().filter(|event| event.kind == Kind::CallAnswered);
    let digests = ["sha256:00112233445566778899aabbccddeeff", text].map(str::to_owned);
    answered.map(|event| Event { handles: digests.to_vec(), ..event }).collect()
}

/// What came after handles: states of tasks that servers tell, and more about clients that are gone.
fn with_reports(text: &str) -> Vec<Event> {
    let chain =
        Chain { follows: Some(CallId(Uuid::from_u128(2))), root: Some(CallId(Uuid::from_u128(1))) };
    let details = |pairs: [(&str, &str); 2]| {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let mut events = vec![
        Event::task_reported(
            stamp(3, text),
            chain,
            details([("state", "working"), ("task", text)]),
        ),
        Event::task_reported(
            stamp(4, text),
            Chain::default(),
            details([("more", "7"), ("server", "s")]),
        ),
    ];
    let answered = every_kind(text).into_iter().filter(|event| event.kind == Kind::CallAnswered);
    events.extend(answered.map(|event| {
        let details = BTreeMap::from([("client".to_owned(), "stalled".to_owned())]);
        let outcome = Some(Outcome::new(Status::ClientGone, 7));
        Event { details, outcome, ..event }
    }));
    events
}

/// What came after reports: credentials for servers.
fn with_credentials(text: &str) -> Vec<Event> {
    let details = |pairs: [(&str, &str); 2]| {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let issued = details([("cache", "miss"), ("provider", text)]);
    let refused = details([("problem", text), ("reason", "credential.unreachable")]);
    let mut events = vec![
        Event::credential(stamp(3, text), Kind::CredentialIssued, Some(actor(text)), issued),
        Event::credential(stamp(4, text), Kind::CredentialRefused, None, refused),
    ];
    let credential = |cache| Credential {
        cache,
        provider: text.to_owned(),
        sha256: "00ff".to_owned(),
        provider_type: "static".to_owned(),
    };
    let answered = every_kind(text).into_iter().find(|event| event.kind == Kind::CallAnswered);
    let answered = answered.unwrap();
    for cache in [CacheUse::Hit, CacheUse::Miss] {
        events.push(Event { credential: Some(credential(cache)), ..answered.clone() });
    }
    let outcome = Some(Outcome::new(Status::NoCredential, 7));
    events.push(Event { outcome, ..answered });
    events
}

/// What came after reports: what a platform says of the actor, and why a credential was not accepted.
fn with_attributes(text: &str) -> Vec<Event> {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let attributes = pairs(&[("github.repository_id", "74"), ("github.ref", text)]);
    let actor = Actor {
        attributes: attributes.into(),
        profile: "github-actions".to_owned(),
        ..actor(text)
    };
    let asked = every_kind(text).into_iter().filter(|event| event.kind == Kind::CallAsked);
    let asked = asked.map(|event| Event { actor: Some(actor.clone()), ..event });
    let refused = every_kind(text).into_iter().filter(|event| event.kind == Kind::CallRefused);
    let details = pairs(&[("attribute", "repository_id"), ("actual", text), ("expected", "74")]);
    let refused = refused.map(|event| Event { details: details.clone(), ..event });
    asked.chain(refused).collect()
}

fn lines(events: &[Event]) -> String {
    events.iter().map(|e| String::from_utf8(e.encode().unwrap()).unwrap() + "\n").collect()
}

/// What came after reports: proofs of possession, and certificates that actors are known by.
fn with_proofs(text: &str) -> Vec<Event> {
    let certificate = |issuer: Option<&str>| Certificate {
        issuer: issuer.map(str::to_owned),
        serial: issuer.map(|_| "00b7".to_owned()),
        sha256: "00ff".repeat(16),
    };
    let of = |kind, proof, certificate: Option<Certificate>| {
        let proof_key = (proof != Proof::Mtls).then(|| text.to_owned());
        Evidence { certificate, proof: Some(proof), proof_key, ..Evidence::new(kind) }
    };
    let evidence = [
        of(EvidenceKind::Jwt, Proof::Dpop, None),
        of(EvidenceKind::Jwt, Proof::Dpop, Some(certificate(None))),
        of(EvidenceKind::Jwt, Proof::Mtls, Some(certificate(Some(text)))),
        of(EvidenceKind::Jwt, Proof::Wpt, None),
        of(EvidenceKind::Certificate, Proof::Mtls, Some(certificate(Some("CN=authority")))),
    ];
    let asked = every_kind(text).into_iter().find(|event| event.kind == Kind::CallAsked);
    let asked = asked.into_iter().cycle();
    let proven = asked.zip(evidence).map(|(event, evidence)| {
        let level = Level::VerifiedPop;
        let hop = Hop { evidence, id: text.to_owned(), level, role: HopRole::Workload };
        let actor = Actor { chain: [hop].into(), level, ..actor(text) };
        Event { actor: Some(actor), ..event }
    });
    proven.collect()
}

#[test]
fn bytes_of_version_1_never_change() {
    check_golden("tests/golden/events-v1.jsonl", &every_kind(AWKWARD));
}

#[test]
fn bytes_of_sequences_never_change() {
    check_golden("tests/golden/events-v1-sequences.jsonl", &in_sequence(AWKWARD));
}

#[test]
fn bytes_of_chains_never_change() {
    check_golden("tests/golden/events-v1-chains.jsonl", &in_chains(AWKWARD));
}

#[test]
fn bytes_of_handles_never_change() {
    check_golden("tests/golden/events-v1-handles.jsonl", &with_handles(AWKWARD));
}

#[test]
fn bytes_of_reports_never_change() {
    check_golden("tests/golden/events-v1-reports.jsonl", &with_reports(AWKWARD));
}

#[test]
fn bytes_of_credentials_never_change() {
    check_golden("tests/golden/events-v1-credentials.jsonl", &with_credentials(AWKWARD));
}

#[test]
fn bytes_of_proofs_never_change() {
    check_golden("tests/golden/events-v1-proofs.jsonl", &with_proofs(AWKWARD));
}

#[test]
fn bytes_of_attributes_never_change() {
    check_golden("tests/golden/events-v1-attributes.jsonl", &with_attributes(AWKWARD));
}

const AWKWARD: &str = "agent \"ünïcode\" \u{1}\u{7f}\n€";

fn check_golden(golden: &str, events: &[Event]) {
    let written = lines(events);
    let expected = std::fs::read_to_string(golden).unwrap();
    assert_eq!(written, expected, "the event format is public: add fields, never change bytes");
    for line in expected.lines() {
        Event::decode_strict(line.as_bytes()).unwrap();
    }
}

#[test]
fn newer_schema_and_other_spellings_are_refused() {
    let event = Event::notice(stamp(5, "g"), Kind::GatewayStarted, BTreeMap::new());
    let text = String::from_utf8(event.encode().unwrap()).unwrap();
    let newer = text.replace("\"v\":1", "\"v\":2");
    assert!(Event::decode(newer.as_bytes()).unwrap_err().to_string().contains("version 2"));
    let spaced = text.replace("\"v\":1", "\"v\": 1");
    assert!(Event::decode(spaced.as_bytes()).is_ok());
    assert!(Event::decode_strict(spaced.as_bytes()).is_err());
}

#[test]
fn an_event_larger_than_an_entry_is_refused() {
    let details = BTreeMap::from([("k".to_owned(), "x".repeat(70_000))]);
    let event = Event::notice(stamp(5, "g"), Kind::GatewayStarted, details);
    assert!(event.encode().unwrap_err().to_string().contains("larger than a log entry"));
}

#[test]
fn an_event_that_its_place_makes_too_large_is_refused() {
    let sequence = sequence(u64::MAX, Some(1));
    let empty = Event::notice(stamp(5, "g"), Kind::LogRead, BTreeMap::new());
    let largest = |more: usize| {
        let frame = b"\"details\":{\"k\":\"\"},".len();
        let bytes = empty.draft().unwrap().at(&sequence).unwrap().len() + frame;
        let text = "x".repeat(ENTRY_BYTES_MAX - bytes + more);
        let details = BTreeMap::from([("k".to_owned(), text)]);
        Event { details, ..empty.clone() }.draft().unwrap().at(&sequence)
    };
    assert_eq!(largest(0).unwrap().len(), ENTRY_BYTES_MAX);
    assert!(largest(1).unwrap_err().to_string().contains("larger than a log entry"));
}

#[test]
fn a_sequence_in_another_form_is_no_event() {
    let event = Event::session_ended(stamp(6, "g"), "sha256:00".to_owned());
    let event = Event { sequence: Some(sequence(3, Some(0xab))), ..event };
    let text = String::from_utf8(event.encode().unwrap()).unwrap();
    let hash = "ab".repeat(32);
    for (from, to) in [
        (hash.clone(), "ab".repeat(31)),
        (hash, "AB".repeat(32)),
        ("\"n\":3".to_owned(), "\"n\":-3".to_owned()),
    ] {
        let other = text.replace(&from, &to);
        assert_ne!(other, text);
        assert!(Event::decode(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn bounded_cuts_at_characters_and_says_so() {
    assert_eq!(bounded("abc", 3), "abc");
    assert_eq!(bounded("abcd", 3), "…");
    assert_eq!(bounded("äöüß", 6), "ä…");
}

proptest! {
    #[test]
    fn encoding_is_canonical_and_reads_back(text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}|.{0,8}") {
        let events = every_kind(&text).into_iter().chain(in_sequence(&text));
        for event in events.chain(with_credentials(&text)).chain(with_attributes(&text)) {
            let bytes = event.encode().unwrap();
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), bytes.clone());
            prop_assert_eq!(Event::decode_strict(&bytes).unwrap(), event);
        }
    }

    #[test]
    fn a_draft_is_the_event_at_its_place_and_nothing_else(
        text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", n: u64, previous: Option<[u8; 32]>, run: u128,
    ) {
        let sequence = Sequence {
            n,
            previous: previous.map(LeafHash),
            run: Uuid::from_u128(run),
        };
        for event in every_kind(&text).into_iter().chain(in_sequence(&text)) {
            let placed = Event { sequence: Some(sequence), ..event.clone() };
            prop_assert_eq!(event.draft().unwrap().at(&sequence).unwrap(), placed.encode().unwrap());
        }
    }

    #[test]
    fn bounded_never_exceeds(text in ".{0,40}", max in 3_usize..60) {
        let cut = bounded(&text, max);
        prop_assert!(cut.len() <= max);
        prop_assert!(text.len() > max || cut == text);
    }
}
