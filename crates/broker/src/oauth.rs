//! Tokens from a token endpoint (RFC 6749). What the server says in words is never repeated: it may hold what
//! it was sent.

use crate::config::{ClientAuth, Config};
use crate::key::SigningKey;
use crate::provider::{Fresh, Life, microseconds, secret};
use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use crate::source::Source;
use crate::wire::{self, Answer, Wire};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use event::Time;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

/// A token endpoint, and who the gateway is to it.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    wire: Wire,
    url: Url,
    client: Client,
    /// `resource`, `scope` and `audience`, those that are configured.
    wanted: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Client {
    id: String,
    proof: ClientProof,
}

#[derive(Debug)]
enum ClientProof {
    Basic(Source),
    Post(Source),
    Key { file: PathBuf, kid: Option<String> },
}

impl TokenEndpoint {
    /// Of a configuration that was checked.
    pub(crate) fn new(
        config: &Config,
        variable: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, String> {
        let url = config.token_url.as_deref().unwrap_or_default();
        let proof = match config.client_auth.unwrap_or(ClientAuth::ClientSecretBasic) {
            ClientAuth::ClientSecretBasic => ClientProof::Basic(secret(config, variable)?),
            ClientAuth::ClientSecretPost => ClientProof::Post(secret(config, variable)?),
            ClientAuth::PrivateKeyJwt => ClientProof::Key {
                file: config.key_file.clone().ok_or("has no `key_file`")?,
                kid: config.key_id.clone(),
            },
        };
        let timeout = Duration::from_millis(config.timeout_ms.unwrap_or(TIMEOUT_MS));
        let wanted = [
            ("resource", &config.resource),
            ("scope", &config.scope),
            ("audience", &config.audience),
        ];
        Ok(Self {
            wire: Wire::new(config.roots.as_deref(), timeout)?,
            url: wire::address(url, config.allow_insecure_loopback)?,
            client: Client { id: config.client_id.clone().unwrap_or_default(), proof },
            wanted: wanted.into_iter().filter_map(|(k, v)| Some((k, v.clone()?))).collect(),
        })
    }

    /// Whether what the gateway proves itself with is there.
    pub(crate) fn try_files(&self) -> Result<(), Refused> {
        match &self.client.proof {
            ClientProof::Basic(source) | ClientProof::Post(source) => source.read().map(drop),
            ClientProof::Key { file, .. } => SigningKey::read(file).map(drop),
        }
    }

    /// A token for the gateway itself (RFC 6749, section 4.4).
    pub(crate) async fn client_credentials(&self, now: Time) -> Result<Fresh, Refused> {
        self.token(&[("grant_type", "client_credentials")], now).await
    }

    async fn token(&self, grant: &[(&str, &str)], now: Time) -> Result<Fresh, Refused> {
        let (headers, body) = self.request(grant, now)?;
        let answer = self.wire.post(&self.url, headers, body).await?;
        read(&answer, now)
    }

    fn request(&self, grant: &[(&str, &str)], now: Time) -> Result<(HeaderMap, String), Refused> {
        let mut form = Serializer::new(String::with_capacity(4_096));
        form.extend_pairs(grant);
        form.extend_pairs(&self.wanted);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form_type);
        self.authenticate(&mut form, &mut headers, now)?;
        Ok((headers, form.finish()))
    }

    fn authenticate(
        &self,
        form: &mut Serializer<'_, String>,
        headers: &mut HeaderMap,
        now: Time,
    ) -> Result<(), Refused> {
        let id = &self.client.id;
        match &self.client.proof {
            ClientProof::Basic(source) => {
                headers.insert(header::AUTHORIZATION, basic(id, source.read()?.as_ref())?);
            }
            ClientProof::Post(source) => {
                form.append_pair("client_id", id);
                form.append_pair("client_secret", source.read()?.expose());
            }
            ClientProof::Key { file, kid } => {
                let assertion = self.assertion(&SigningKey::read(file)?, kid.as_deref(), now)?;
                form.append_pair("client_id", id);
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", assertion.expose());
            }
        }
        Ok(())
    }

    /// Who the gateway is, in its own words (RFC 7523, section 3).
    fn assertion(&self, key: &SigningKey, kid: Option<&str>, now: Time) -> Result<Secret, Refused> {
        #[derive(Serialize)]
        struct Claims<'c> {
            iss: &'c str,
            sub: &'c str,
            aud: &'c str,
            iat: i64,
            exp: i64,
            jti: String,
        }
        let id = self.client.id.as_str();
        let iat = now.unix_s();
        let (exp, jti) = (iat + ASSERTION_S, unique()?);
        key.sign(kid, &Claims { iss: id, sub: id, aud: self.url.as_str(), iat, exp, jti })
    }
}

/// 128 random bits.
pub(crate) fn unique() -> Result<String, Refused> {
    let mut random = [0; 16];
    rand::fill(&mut random)
        .map_err(|_| Refused::new(Reason::File, "the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// Name and password, each encoded by itself (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, Refused> {
    let encoded = |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Zeroizing::new(format!("{}:{}", *encoded(id), *encoded(secret.expose())));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Refused::new(Reason::File, "the client secret can stand in no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
}

/// Some servers write the number as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Failed {
    error: String,
}

fn read(answer: &Answer, now: Time) -> Result<Fresh, Refused> {
    if answer.status != StatusCode::OK {
        return Err(denied(answer));
    }
    let malformed = |problem: &str| Refused::new(Reason::Malformed, problem);
    // What the parser would say may show a part of the token.
    let token: Token = serde_json::from_slice(&answer.body).map_err(|_| {
        malformed("the token endpoint's answer is no token (RFC 6749, section 5.1)")
    })?;
    let value = Arc::new(Secret::new(token.access_token));
    if !token.token_type.eq_ignore_ascii_case("bearer") {
        return Err(malformed("the token endpoint issued a token of another type than `Bearer`"));
    }
    let seconds = match token.expires_in {
        None => return Ok(Fresh { value, life: Life::Unknown }),
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.parse().ok(),
    };
    let seconds = seconds.filter(|seconds| 0 < *seconds);
    let seconds = seconds.ok_or_else(|| malformed("the token has no time left (`expires_in`)"))?;
    // Counted from before it was asked for, so that it never seems to last longer than it does.
    let expires = now.unix_us().saturating_add(microseconds(seconds.min(LIFE_S_MAX)));
    Ok(Fresh { value, life: Life::Until(Time::from_unix_us(expires)) })
}

/// What a refusal says, as far as it is a code that the standards list.
fn denied(answer: &Answer) -> Refused {
    let status = answer.status.as_u16();
    let failed = serde_json::from_slice::<Failed>(&answer.body).ok();
    let code = failed.and_then(|failed| CODES.into_iter().find(|code| *code == failed.error));
    let code = code.map_or_else(String::new, |code| format!(", `{code}`"));
    let problem = format!("the token endpoint refused (HTTP status {status}{code})");
    let reason = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Reason::Unreachable,
        status if status.is_server_error() => Reason::Unreachable,
        status if status.is_client_error() => Reason::Denied,
        _ => Reason::Malformed,
    };
    Refused::new(reason, problem)
}

/// RFC 6749 (sections 4.1.2.1 and 5.2), RFC 8707 (section 2), RFC 9449 (sections 5 and 8).
const CODES: [&str; 12] = [
    "access_denied",
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "use_dpop_nonce",
];

/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion is used at once.
const ASSERTION_S: i64 = 60;

/// Ten years: no token lasts longer, and no sum of times goes beyond what can be written.
const LIFE_S_MAX: u64 = 315_360_000;

/// Time for a token endpoint to answer, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;
