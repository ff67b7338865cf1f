//! What a verified token must claim (RFC 7519 section 4.1), and what we take from it. It knows no
//! signature and no key.

use event::Time;
use serde_json::Value;
use std::time::Duration;

use crate::rejection::{Reason, Rejection};
use crate::strict_json::Object;

/// Seconds by which the issuer's clock and ours may differ. More would let expired tokens live on.
pub const LEEWAY_S: i64 = 5;

/// What the tokens of one provider must claim.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// The audience that must be named; none for that of the endpoint.
    pub(crate) audience: Option<String>,
    /// Whether others may be named beside it.
    pub(crate) multiple_audiences: bool,
    /// Longest time from issue to expiry, in seconds.
    pub(crate) lifetime_max_s: u64,
}

impl Expected {
    /// The audience that must be named at the endpoint with this canonical URI.
    pub(crate) fn audience<'a>(&'a self, resource: &'a str) -> &'a str {
        self.audience.as_deref().unwrap_or(resource)
    }
}

/// The registered claims of a token that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) exp: Time,
    pub(crate) iat: Option<Time>,
    pub(crate) jti: Option<String>,
    pub(crate) sub: String,
}

/// The issuer as written; the first thing asked of a token, before it is verified.
pub(crate) fn issuer(claims: &Object) -> Result<&str, Rejection> {
    text(claims, "iss")?.ok_or_else(|| Rejection::at(Reason::MissingClaim, "iss"))
}

/// Checks every registered claim but `iss`.
pub(crate) fn check(
    claims: &Object,
    (expected, audience): (&Expected, &str),
    now: Time,
) -> Result<Claimed, Rejection> {
    let subject = text(claims, "sub")?;
    let sub = subject.ok_or_else(|| Rejection::at(Reason::MissingClaim, "sub"))?;
    if !is_identifier(sub) {
        return Err(Rejection::at(Reason::MalformedClaim, "sub").expected(IDENTIFIER_RULE));
    }
    check_audience(claims, expected, audience)?;
    let (exp, iat) = lifetime(claims, expected, now)?;
    Ok(Claimed {
        exp,
        iat,
        jti: text(claims, "jti")?.map(|jti| event::bounded(jti, ID_BYTES_MAX)),
        sub: sub.to_owned(),
    })
}

/// Whether a text can name a party in policies and records.
pub(crate) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= ID_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What [`is_identifier`] asks for.
pub(crate) const IDENTIFIER_RULE: &str = "1 to 1024 bytes without control characters";

pub(crate) fn text<'a>(
    claims: &'a Object,
    name: &'static str,
) -> Result<Option<&'a str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::at(Reason::MalformedClaim, name).expected("a text")),
    }
}

fn check_audience(claims: &Object, expected: &Expected, audience: &str) -> Result<(), Rejection> {
    let malformed =
        || Rejection::at(Reason::MalformedClaim, "aud").expected("a text or an array of texts");
    let named: Vec<&str> = match claims.get("aud") {
        None => return Err(Rejection::at(Reason::MissingClaim, "aud")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => {
            several.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(malformed)?
        }
        Some(_) => return Err(malformed()),
    };
    let wrong = || Rejection::at(Reason::WrongAudience, "aud").actual(&named.join(" "));
    // Where none is known, none fits, not even an empty one.
    if audience.is_empty() || !named.contains(&audience) {
        return Err(wrong().expected(audience));
    }
    if named.len() > 1 && !expected.multiple_audiences {
        return Err(wrong().expected(&format!("only {audience}")));
    }
    Ok(())
}

fn lifetime(
    claims: &Object,
    expected: &Expected,
    now: Time,
) -> Result<(Time, Option<Time>), Rejection> {
    let now_us = now.unix_us();
    let leeway_us = LEEWAY_S * SECOND_US;
    let exp = numeric_date(claims, "exp")?;
    let exp = exp.ok_or_else(|| Rejection::at(Reason::MissingClaim, "exp"))?;
    let shown = |us: i64| Time::from_unix_us(us).to_string();
    if now_us >= exp.saturating_add(leeway_us) {
        return Err(Rejection::at(Reason::Expired, "exp")
            .expected(&format!("after {}", shown(now_us)))
            .actual(&shown(exp)));
    }
    let not_after = |name: &'static str, date: Option<i64>| match date {
        Some(us) if us > now_us.saturating_add(leeway_us) => {
            Err(Rejection::at(Reason::NotYetValid, name)
                .expected(&format!("not after {}", shown(now_us)))
                .actual(&shown(us)))
        }
        _ => Ok(()),
    };
    not_after("nbf", numeric_date(claims, "nbf")?)?;
    let iat = numeric_date(claims, "iat")?;
    not_after("iat", iat)?;
    let lives_us = exp.saturating_sub(iat.unwrap_or(now_us));
    if iat.is_some() && lives_us <= 0 {
        return Err(Rejection::at(Reason::MalformedClaim, "exp").expected("after `iat`"));
    }
    let lives_s = u64::try_from(lives_us / SECOND_US).unwrap_or(0);
    let exceeds = lives_us % SECOND_US > 0;
    if lives_s > expected.lifetime_max_s || (lives_s == expected.lifetime_max_s && exceeds) {
        return Err(Rejection::at(Reason::LifetimeTooLong, "exp")
            .expected(&format!("at most {} s", expected.lifetime_max_s))
            .actual(&format!("{lives_s} s")));
    }
    Ok((Time::from_unix_us(exp), iat.map(Time::from_unix_us)))
}

/// A `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction. In microseconds,
/// cut off; a date beyond our range is the last one.
pub(crate) fn numeric_date(claims: &Object, name: &'static str) -> Result<Option<i64>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let malformed =
        || Rejection::at(Reason::MalformedClaim, name).expected("seconds since 1970 as a number");
    let whole = value.as_u64().map(Duration::from_secs);
    let fraction = || match value.as_f64() {
        // Beyond the range of a duration there are only dates in an absurd future.
        Some(seconds) if seconds >= FAR_FUTURE_S => Some(Duration::MAX),
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => None,
    };
    let since = whole.or_else(fraction).ok_or_else(malformed)?;
    Ok(Some(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}

pub(crate) const SECOND_US: i64 = 1_000_000;

/// Thirty thousand years, in seconds.
const FAR_FUTURE_S: f64 = 1e12;

/// Longest identifier of a party or a token, in bytes: four thousand would fill a record with ten hops.
pub(crate) const ID_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::{Claimed, Expected, LEEWAY_S, check};
    use crate::rejection::Reason;
    use event::Time;
    use serde_json::{Value, json};
    use std::borrow::Cow;

    const NOW_S: i64 = 1_800_000_000;

    fn checked(change: &[(&str, Value)], now_us: i64) -> Result<Claimed, (Reason, &'static str)> {
        let mut claims = json!({"sub": "s", "aud": "gw", "iat": NOW_S, "exp": NOW_S + 600});
        for (name, value) in change {
            match value {
                Value::Null => drop(claims.as_object_mut().and_then(|all| all.remove(*name))),
                value => claims[*name] = value.clone(),
            }
        }
        let expected = Expected { audience: None, multiple_audiences: false, lifetime_max_s: 600 };
        let now = Time::from_unix_us(NOW_S * 1_000_000 + now_us);
        check(claims.as_object().unwrap(), (&expected, "gw"), now).map_err(|rejection| {
            match rejection.details.attribute {
                Some(Cow::Borrowed(attribute)) => (rejection.reason, attribute),
                other => panic!("{other:?} is no registered claim"),
            }
        })
    }

    #[test]
    fn clock_edges() {
        let us = |seconds: i64| seconds * 1_000_000;
        let expired = Err((Reason::Expired, "exp"));
        // A token is valid until, not at, its expiry; the leeway is added to both ends.
        assert!(checked(&[], us(600 + LEEWAY_S) - 1).is_ok());
        assert_eq!(checked(&[], us(600 + LEEWAY_S)), expired);
        assert!(checked(&[], us(-LEEWAY_S)).is_ok());
        assert_eq!(checked(&[], us(-LEEWAY_S) - 1), Err((Reason::NotYetValid, "iat")));
        let later = NOW_S + LEEWAY_S;
        assert!(checked(&[("nbf", json!(later))], 0).is_ok());
        assert_eq!(checked(&[("nbf", json!(later))], -1), Err((Reason::NotYetValid, "nbf")));
        assert!(checked(&[("nbf", json!(0))], 0).is_ok());
        assert_eq!(checked(&[("exp", json!(0)), ("iat", Value::Null)], 0), expired);
    }

    #[test]
    fn lifetime_is_capped_with_and_without_an_issue_time() {
        let long = Err((Reason::LifetimeTooLong, "exp"));
        assert_eq!(checked(&[("exp", json!(NOW_S + 601))], 0), long);
        assert_eq!(checked(&[("exp", json!(1_800_000_600.5))], 0), long);
        assert!(checked(&[("iat", Value::Null)], 0).is_ok());
        assert_eq!(checked(&[("iat", Value::Null)], -1), long);
        for exp in [json!(1_000_000_000_000_000_000_u64), json!(u64::MAX), json!(1e300)] {
            assert_eq!(checked(&[("exp", exp)], 0), long);
        }
        let backwards = [("iat", json!(NOW_S + 3)), ("exp", json!(NOW_S + 2))];
        assert_eq!(checked(&backwards, 0), Err((Reason::MalformedClaim, "exp")));
    }

    #[test]
    fn dates_are_numbers() {
        for date in [json!("1800000100"), json!(true), json!(-1), json!([1]), json!({})] {
            for name in ["exp", "nbf", "iat"] {
                assert_eq!(
                    checked(&[(name, date.clone())], 0),
                    Err((Reason::MalformedClaim, name)),
                    "{name} {date}"
                );
            }
        }
        let fraction = checked(&[("exp", json!(1_800_000_100.5))], 0).unwrap();
        assert_eq!(fraction.exp.unix_us(), 1_800_000_100_500_000);
    }

    #[test]
    fn subject_and_token_id_are_texts() {
        for (sub, reason) in [
            (Value::Null, Reason::MissingClaim),
            (json!(""), Reason::MalformedClaim),
            (json!(5), Reason::MalformedClaim),
            (json!(["s"]), Reason::MalformedClaim),
            (json!("a\nb"), Reason::MalformedClaim),
            (json!("x".repeat(1_025)), Reason::MalformedClaim),
        ] {
            assert_eq!(checked(&[("sub", sub)], 0), Err((reason, "sub")));
        }
        assert_eq!(checked(&[("jti", json!(1))], 0), Err((Reason::MalformedClaim, "jti")));
        assert_eq!(checked(&[("jti", json!("j"))], 0).unwrap().jti.as_deref(), Some("j"));
    }
}
