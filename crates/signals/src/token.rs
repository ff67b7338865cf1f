//! What a security event token (RFC 8417) says, once it is known who signed it. It judges the form of the claims
//! and refuses to know what follows from them.

use event::Time;
use identity::Subject;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The events that are understood: those after which a credential may not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The account is disabled (RISC 1.0 section 2.3).
    AccountDisabled,
    /// The account is deleted for good (RISC 1.0 section 2.2).
    AccountPurged,
    /// A credential was added, changed, or taken away (CAEP 1.0 section 3.3); only what was revoked or deleted
    /// counts.
    CredentialChange,
    /// A credential was found to be known to others (RISC 1.0 section 2.7).
    CredentialCompromise,
    /// A device does not comply any more (CAEP 1.0 section 3.5).
    DeviceComplianceChange,
    /// The risk rose to `HIGH` (CAEP 1.0 section 3.8).
    RiskLevelChange,
    /// A session was ended (CAEP 1.0 section 3.1).
    SessionRevoked,
    /// Claims in tokens are not true any more (CAEP 1.0 section 3.2).
    TokenClaimsChange,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::AccountDisabled,
        Self::AccountPurged,
        Self::CredentialChange,
        Self::CredentialCompromise,
        Self::DeviceComplianceChange,
        Self::RiskLevelChange,
        Self::SessionRevoked,
        Self::TokenClaimsChange,
    ];

    /// The last part of its URI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountDisabled => "account-disabled",
            Self::AccountPurged => "account-purged",
            Self::CredentialChange => "credential-change",
            Self::CredentialCompromise => "credential-compromise",
            Self::DeviceComplianceChange => "device-compliance-change",
            Self::RiskLevelChange => "risk-level-change",
            Self::SessionRevoked => "session-revoked",
            Self::TokenClaimsChange => "token-claims-change",
        }
    }

    /// The URI of its type.
    #[must_use]
    pub fn uri(self) -> String {
        let family = match self {
            Self::AccountDisabled | Self::AccountPurged | Self::CredentialCompromise => RISC,
            _ => CAEP,
        };
        format!("{family}{}", self.name())
    }

    fn of(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.uri() == uri)
    }

    /// Whether what it says of the change makes it worse.
    fn is_for_the_worse(self, payload: &Map<String, Value>) -> bool {
        let says = |name: &str, bad: &[&str]| {
            let said = payload.get(name).and_then(Value::as_str);
            said.is_some_and(|said| bad.iter().any(|bad| said.eq_ignore_ascii_case(bad)))
        };
        match self {
            Self::CredentialChange => says("change_type", &["revoke", "delete"]),
            Self::DeviceComplianceChange => says("current_status", &["not-compliant"]),
            Self::RiskLevelChange => says("current_level", &["high"]),
            _ => true,
        }
    }
}

/// What one token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) jti: String,
    pub(crate) events: Vec<SaidEvent>,
}

/// One event of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaidEvent {
    /// URI of its type.
    pub(crate) uri: String,
    /// The event, when it is one after which a credential may not count, and says so.
    pub(crate) event: Option<Event>,
    /// Whom it is about, as far as it names parties by issuer and subject.
    pub(crate) subjects: Vec<Subject>,
    /// When it happened.
    pub(crate) at: Time,
}

/// Why a token is of no use; the codes of RFC 8935 section 2.4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// It was issued for somebody else.
    #[error("`aud` is not the configured audience of this receiver")]
    Audience,
    /// A claim is missing or not of the right form.
    #[error("claim `{0}` {1}")]
    Claim(&'static str, &'static str),
}

/// Reads the claims of a token that `transmitter` (an issuer) signed.
pub(crate) fn read(
    claims: &Map<String, Value>,
    (transmitter, audience): (&str, &str),
    now: Time,
) -> Result<Said, Unusable> {
    let jti = claims.get("jti").and_then(Value::as_str);
    let jti = jti.filter(|jti| !jti.is_empty() && jti.len() <= TEXT_BYTES_MAX);
    let jti = jti.ok_or(Unusable::Claim("jti", "must be a text of 1 to 1024 bytes"))?;
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        _ => return Err(Unusable::Claim("aud", "must be a text or an array of texts")),
    };
    if !named {
        return Err(Unusable::Audience);
    }
    let issued = date(claims.get("iat")).ok_or(Unusable::Claim("iat", "must be a number"))?;
    // RFC 8417 section 2.2: one or more events, each an object.
    let events = claims.get("events").and_then(Value::as_object);
    let events = events.filter(|events| (1..=EVENTS_MAX).contains(&events.len()));
    let events = events.ok_or(Unusable::Claim("events", "must be an object of 1 to 16 events"))?;
    let whole = claims.get("sub_id");
    let mut said = Vec::new();
    for (uri, payload) in events {
        let payload = payload.as_object();
        let payload = payload.ok_or(Unusable::Claim("events", "must hold objects"))?;
        let known = Event::of(uri);
        // SSF 1.0 has `sub_id` beside `events`; earlier drafts had `subject` in each of them.
        let about = whole.or_else(|| payload.get("subject")).or_else(|| payload.get("sub_id"));
        let mut subjects = Vec::new();
        if let Some(about) = about {
            collect(about, transmitter, &mut subjects, NESTING_MAX);
        }
        let at = match payload.get("event_timestamp") {
            None => issued,
            some => date(some).ok_or(Unusable::Claim("event_timestamp", "must be a number"))?,
        };
        said.push(SaidEvent {
            uri: event::bounded(uri, TEXT_BYTES_MAX),
            event: known.filter(|event| event.is_for_the_worse(payload)),
            subjects,
            // A clock that is ahead must not revoke what will be issued.
            at: at.min(now),
        });
    }
    Ok(Said { jti: jti.to_owned(), events: said })
}

/// The parties that a subject identifier (RFC 9493) names by issuer and subject. An opaque one is the
/// transmitter's own; of a complex one (SSF 1.0 section 3.3) the user counts.
fn collect(about: &Value, transmitter: &str, found: &mut Vec<Subject>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let text = |name: &str| {
        let text = about.get(name).and_then(Value::as_str)?;
        let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
        fits.then(|| text.to_owned())
    };
    match about.get("format").and_then(Value::as_str) {
        Some("iss_sub") => {
            if let (Some(iss), Some(sub)) = (text("iss"), text("sub")) {
                found.push(Subject { iss, sub });
            }
        }
        Some("opaque") => {
            if let Some(sub) = text("id") {
                found.push(Subject { iss: transmitter.to_owned(), sub });
            }
        }
        Some("aliases") => {
            let identifiers = about.get("identifiers").and_then(Value::as_array);
            for one in identifiers.into_iter().flatten().take(ALIASES_MAX) {
                collect(one, transmitter, found, depth);
            }
        }
        Some("complex") => {
            if let Some(user) = about.get("user") {
                collect(user, transmitter, found, depth);
            }
        }
        _ => {}
    }
}

/// A `NumericDate` (RFC 7519 section 2), cut to microseconds.
fn date(value: Option<&Value>) -> Option<Time> {
    let seconds = value?.as_f64().filter(|seconds| (0.0..FAR_FUTURE_S).contains(seconds))?;
    let since = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    Some(Time::from_unix_us(i64::try_from(since.as_micros()).ok()?))
}

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// Most events of one token; transmitters send one.
const EVENTS_MAX: usize = 16;

/// Most names of one party.
const ALIASES_MAX: usize = 16;

/// Aliases may hold others, complex subjects simple ones.
const NESTING_MAX: usize = 3;

/// Longest text that is taken over, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// The year 5138.
const FAR_FUTURE_S: f64 = 1e11;

#[cfg(test)]
mod tests {
    use super::{Event, Unusable, read};
    use event::Time;
    use identity::Subject;
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    const T: &str = "https://idp.example";
    const A: &str = "https://gw.example";
    const NOW_S: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Time {
        Time::from_unix_us(seconds * 1_000_000)
    }

    fn token(uri: &str, payload: &Value, about: &Value) -> Value {
        json!({"jti": "1", "iss": T, "aud": A, "iat": NOW_S - 5, "sub_id": about,
               "events": {uri: payload}})
    }

    fn said(token: &Value) -> Result<super::Said, Unusable> {
        read(token.as_object().unwrap(), (T, A), at(NOW_S))
    }

    fn alice() -> Value {
        json!({"format": "iss_sub", "iss": T, "sub": "alice"})
    }

    fn subject(iss: &str, sub: &str) -> Subject {
        Subject { iss: iss.to_owned(), sub: sub.to_owned() }
    }

    /// CAEP 1.0 section 3.1, example of `session-revoked`.
    #[test]
    fn a_revoked_session() {
        let payload = json!({"initiating_entity": "policy", "event_timestamp": 1_615_304_991_i64,
            "reason_admin": {"en": "Landspeed Policy Violation: C076E82F"}});
        let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let said = said(&token(uri, &payload, &alice())).unwrap();
        assert_eq!(said.jti, "1");
        let event = &said.events[0];
        assert_eq!(event.event, Some(Event::SessionRevoked));
        assert_eq!(event.subjects, [subject(T, "alice")]);
        assert_eq!(event.at, at(1_615_304_991));
    }

    #[test]
    fn only_changes_for_the_worse_count() {
        let counts = |event: Event, payload: Value| {
            said(&token(&event.uri(), &payload, &alice())).unwrap().events[0].event.is_some()
        };
        for (kind, counted) in [("revoke", true), ("delete", true), ("create", false)] {
            assert_eq!(counts(Event::CredentialChange, json!({"change_type": kind})), counted);
        }
        let device = |status: &str| json!({"current_status": status});
        assert!(counts(Event::DeviceComplianceChange, device("not-compliant")));
        assert!(!counts(Event::DeviceComplianceChange, device("compliant")));
        assert!(!counts(Event::DeviceComplianceChange, json!({})));
        assert!(counts(Event::RiskLevelChange, json!({"current_level": "HIGH"})));
        assert!(!counts(Event::RiskLevelChange, json!({"current_level": "LOW"})));
        assert!(counts(Event::AccountDisabled, json!({})));
        let unknown = said(&token("https://else.example/x", &json!({}), &alice())).unwrap();
        assert_eq!(unknown.events[0].event, None);
    }

    #[test]
    fn subjects_are_named_in_several_ways() {
        let uri = Event::SessionRevoked.uri();
        let of = |about: Value| {
            said(&token(&uri, &json!({}), &about)).unwrap().events[0].subjects.clone()
        };
        assert_eq!(of(json!({"format": "opaque", "id": "u1"})), [subject(T, "u1")]);
        let other = json!({"format": "iss_sub", "iss": "https://o", "sub": "x"});
        assert_eq!(
            of(json!({"format": "complex", "user": other, "session": alice()})),
            [subject("https://o", "x")]
        );
        assert_eq!(
            of(json!({"format": "aliases", "identifiers": [alice(), other]})),
            [subject(T, "alice"), subject("https://o", "x")]
        );
        for none in [
            json!({"format": "email", "email": "a@b.example"}),
            json!({"format": "iss_sub", "iss": T}),
            json!({"format": "iss_sub", "iss": T, "sub": ""}),
            json!({"iss": T, "sub": "alice"}),
            json!("alice"),
            Value::Null,
        ] {
            assert_eq!(of(none), []);
        }
        let mut earlier = token(&uri, &json!({"subject": alice()}), &Value::Null);
        earlier.as_object_mut().unwrap().remove("sub_id");
        assert_eq!(said(&earlier).unwrap().events[0].subjects, [subject(T, "alice")]);
    }

    #[test]
    fn what_is_not_of_the_form_is_of_no_use() {
        let good = token(&Event::SessionRevoked.uri(), &json!({}), &alice());
        assert!(said(&good).is_ok());
        let mut foreign = good.clone();
        foreign["aud"] = json!(["https://other"]);
        assert_eq!(said(&foreign), Err(Unusable::Audience));
        for (name, values) in [
            ("jti", vec![Value::Null, json!(""), json!(1)]),
            ("aud", vec![Value::Null, json!(1)]),
            ("iat", vec![Value::Null, json!("1"), json!(-1), json!(1e20)]),
            ("events", vec![Value::Null, json!({}), json!([]), json!({"u": 1})]),
        ] {
            for value in values {
                let mut bad = good.clone();
                bad[name] = value;
                let found = said(&bad).unwrap_err();
                assert!(matches!(found, Unusable::Claim(claim, _) if claim == name), "{bad}");
            }
        }
        let ahead =
            token(&Event::SessionRevoked.uri(), &json!({"event_timestamp": NOW_S + 900}), &alice());
        assert_eq!(said(&ahead).unwrap().events[0].at, at(NOW_S));
    }

    proptest! {
        #[test]
        fn any_claims_are_answered(text in ".{0,60}", number in any::<f64>(), depth in 0_usize..40) {
            let mut about = json!({"format": "iss_sub", "iss": text, "sub": text});
            for _ in 0..depth {
                about = json!({"format": "aliases", "identifiers": [about]});
            }
            let token = json!({"jti": text, "aud": A, "iat": number, "sub_id": about,
                "events": {text: {"event_timestamp": number}}});
            drop(said(&token));
        }
    }
}
