//! One `DPoP` proof: whether it was made for this request, with the key that its token is bound to (RFC 9449
//! section 4.3). It remembers nothing; whether a proof is used twice is for `replay`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::Time;

use crate::claims::{self, ID_BYTES_MAX, SECOND_US};
use crate::config::Algorithm;
use crate::digest::Sha256;
use crate::jwk::Key;
use crate::jwt::Token;
use crate::rejection::{Reason, Rejection};
use crate::strict_json::Object;
use crate::uri;

/// What a proof must be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Method of HTTP.
    pub(crate) method: &'a str,
    /// URI without query and fragment.
    pub(crate) uri: &'a str,
    /// Digest of the token that came with it.
    pub(crate) token: &'a Sha256,
    /// Thumbprint of the key that the token is bound to.
    pub(crate) jkt: &'a str,
}

/// A proof that was made for the request.
#[derive(Debug)]
pub(crate) struct Made {
    /// What its maker calls it.
    pub(crate) jti: String,
    /// The second in which it was made, as it says.
    pub(crate) at_s: i64,
}

/// The proof among the `DPoP` headers of a request, if there is one and it is good. What is cheap is checked
/// first, the signature last.
pub(crate) fn check(
    headers: &[&[u8]],
    request: &Request<'_>,
    (age_max_s, now): (i64, Time),
) -> Result<Made, Rejection> {
    let text = match headers {
        [] => return Err(Rejection::at(Reason::ProofMissing, "dpop")),
        [header] => *header,
        several => {
            let found = format!("{} headers", several.len());
            return Err(invalid("dpop").expected("one header").actual(&found));
        }
    };
    if PROOF_BYTES_MAX < text.len() {
        return Err(invalid("dpop").expected(&format!("at most {PROOF_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(text).map_err(|_| invalid("dpop"))?;
    let (proof, jwk) = Token::parse_proof(text).map_err(of_proof)?;
    check_type(proof.header.typ.as_deref(), "dpop+jwt")?;
    let algorithm = Algorithm::parse(&proof.header.alg);
    let algorithm = algorithm.ok_or_else(|| invalid("alg").actual(&proof.header.alg))?;
    let key = Key::parse(&jwk).ok_or_else(|| invalid("jwk").expected("a public signature key"))?;
    if !key.fits(algorithm) {
        return Err(invalid("jwk").expected(&format!("a key for {}", algorithm.as_str())));
    }
    let made = check_claims(&proof.claims, request, (age_max_s, now))?;
    if key.thumbprint() != request.jkt {
        return Err(Rejection::at(Reason::BindingMismatch, "jwk".to_owned())
            .expected(request.jkt)
            .actual(key.thumbprint()));
    }
    proof.verify(algorithm, &key).map_err(|_| invalid("signature"))?;
    Ok(made)
}

fn check_claims(
    claims: &Object,
    request: &Request<'_>,
    (age_max_s, now): (i64, Time),
) -> Result<Made, Rejection> {
    let text = |name| required(claims, name);
    let htm = text("htm")?;
    if htm != request.method {
        return Err(invalid("htm").expected(request.method).actual(htm));
    }
    let htu = text("htu")?;
    let named = uri::normal(htu);
    if named.is_none() || named != uri::normal(request.uri) {
        return Err(invalid("htu").expected(request.uri).actual(htu));
    }
    let ath = text("ath")?;
    if ath != URL_SAFE_NO_PAD.encode(request.token) {
        return Err(invalid("ath").expected("the hash of the token"));
    }
    let jti = text("jti")?;
    if jti.is_empty() || ID_BYTES_MAX < jti.len() {
        return Err(invalid("jti").expected(&format!("1 to {ID_BYTES_MAX} bytes")));
    }
    let at_us = claims::numeric_date(claims, "iat").map_err(of_proof)?;
    let at_us = at_us.ok_or_else(|| invalid("iat").expected("a time"))?;
    let off_us = now.unix_us().saturating_sub(at_us).unsigned_abs();
    if age_max_s.saturating_mul(SECOND_US).unsigned_abs() < off_us {
        return Err(invalid("iat")
            .expected(&format!("within {age_max_s} s of {now}"))
            .actual(&Time::from_unix_us(at_us).to_string()));
    }
    check_bounds(claims, now)?;
    Ok(Made { jti: jti.to_owned(), at_s: at_us.div_euclid(SECOND_US) })
}

/// A proof may bound its life by itself (RFC 7519 sections 4.1.4 and 4.1.5).
fn check_bounds(claims: &Object, now: Time) -> Result<(), Rejection> {
    let date = |name| claims::numeric_date(claims, name).map_err(of_proof);
    let leeway_us = claims::LEEWAY_S * SECOND_US;
    if date("exp")?.is_some_and(|exp| exp.saturating_add(leeway_us) <= now.unix_us()) {
        return Err(invalid("exp").expected("a time to come"));
    }
    if date("nbf")?.is_some_and(|nbf| now.unix_us().saturating_add(leeway_us) < nbf) {
        return Err(invalid("nbf").expected("a time that has come"));
    }
    Ok(())
}

/// A text that a proof must have.
fn required<'a>(claims: &'a Object, name: &'static str) -> Result<&'a str, Rejection> {
    claims::text(claims, name).map_err(of_proof)?.ok_or_else(|| invalid(name).expected("a text"))
}

fn check_type(typ: Option<&str>, expected: &str) -> Result<(), Rejection> {
    match typ {
        Some(typ) if typ.eq_ignore_ascii_case(expected) => Ok(()),
        typ => Err(invalid("typ").expected(expected).actual(typ.unwrap_or_default())),
    }
}

fn invalid(check: &'static str) -> Rejection {
    Rejection::at(Reason::ProofInvalid, check)
}

/// What is wrong with the form of a token makes a proof invalid.
fn of_proof(mut rejection: Rejection) -> Rejection {
    rejection.reason = Reason::ProofInvalid;
    rejection
}

/// Most bytes of a proof: the largest RSA key and signature, and a long URI.
const PROOF_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::{Request, check};
    use crate::digest::{Sha256, sha256};
    use crate::rejection::Reason;
    use event::Time;

    /// RFC 9449 section 7.1, with the key of its section 6.1.
    const EXAMPLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const MADE_S: i64 = 1_562_262_618;

    fn request(token: &Sha256) -> Request<'_> {
        Request {
            method: "GET",
            uri: "https://resource.example.org/protectedresource",
            token,
            jkt: JKT,
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_unix_us(seconds * 1_000_000)
    }

    #[test]
    fn the_published_example_is_good() {
        let token = sha256(TOKEN);
        for now_s in [MADE_S - 300, MADE_S, MADE_S + 300] {
            let made = check(&[EXAMPLE.as_bytes()], &request(&token), (300, at(now_s))).unwrap();
            assert_eq!((made.jti.as_str(), made.at_s), ("e1j3V_bKic8-LAEB", MADE_S));
        }
    }

    #[test]
    fn it_is_good_for_nothing_else() {
        let token = sha256(TOKEN);
        let good = request(&token);
        let refused = |request: &Request<'_>, now: Time| {
            let rejection = check(&[EXAMPLE.as_bytes()], request, (300, now)).unwrap_err();
            (rejection.reason, rejection.details.attribute.unwrap().into_owned())
        };
        let now = at(MADE_S);
        let invalid = |check: &str| (Reason::ProofInvalid, check.to_owned());
        assert_eq!(refused(&Request { method: "POST", ..good }, now), invalid("htm"));
        assert_eq!(refused(&Request { method: "get", ..good }, now), invalid("htm"));
        let uri = "https://resource.example.org/";
        assert_eq!(refused(&Request { uri, ..good }, now), invalid("htu"));
        assert_eq!(refused(&Request { uri: "", ..good }, now), invalid("htu"));
        let other = sha256(b"another");
        assert_eq!(refused(&Request { token: &other, ..good }, now), invalid("ath"));
        let jkt = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(
            refused(&Request { jkt, ..good }, now),
            (Reason::BindingMismatch, "jwk".to_owned())
        );
        for off_s in [-301, 301] {
            assert_eq!(refused(&good, at(MADE_S + off_s)), invalid("iat"));
        }
        assert_eq!(refused(&good, Time::from_unix_us(i64::MIN)), invalid("iat"));
    }
}
