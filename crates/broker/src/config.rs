//! What an operator says about the credential for one server (`[server.credential]`). It reads no file;
//! whoever does hands the structure over and checks it once.

mod check;

use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// The credential for one server. Which keys belong to which type is in docs/credentials.md; `check` says
/// where one stands that does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the credential is had. Required.
    #[serde(rename = "type")]
    pub provider_type: Option<ProviderType>,
    /// Name of the provider in events. Default: its type.
    pub name: Option<String>,

    /// Header of requests that it goes into. Default: `Authorization`.
    pub header: Option<String>,
    /// What stands before it in that header, such as `Bearer`; nothing when empty. Default: `Bearer` in
    /// `Authorization`, nothing in other headers.
    pub scheme: Option<String>,
    /// Variable of a local program that it goes into. Required for a local program.
    pub variable: Option<String>,

    /// File with the secret: one line, for its owner only; looked at again when it changes.
    pub secret_file: Option<PathBuf>,
    /// Variable of the gateway's environment with the secret, instead of `secret_file`.
    pub secret_env: Option<String>,

    /// `https` address of the token endpoint. Required.
    pub token_url: Option<String>,
    /// Who the gateway is to the token endpoint. Required.
    pub client_id: Option<String>,
    /// How the gateway proves that. Default: `client_secret_basic`.
    pub client_auth: Option<ClientAuth>,
    /// Private key for `private_key_jwt`: PEM (PKCS#8, or PKCS#1 for RSA) or a private JWK, for its owner only.
    pub key_file: Option<PathBuf>,
    /// `kid` of that key. Default: its thumbprint (RFC 7638).
    pub key_id: Option<String>,
    /// `resource` of the token (RFC 8707), normally the URL of the server. Default: none.
    pub resource: Option<String>,
    /// `scope` of the token, separated by spaces. Default: none.
    pub scope: Option<String>,
    /// `audience` of the token, for issuers that know one. Default: none.
    pub audience: Option<String>,

    /// PEM file with the authorities that vouch for whoever issues the credential, instead of the public
    /// ones.
    pub roots: Option<PathBuf>,
    /// Allow `http` to a loopback address. Development only. Default: false.
    pub allow_insecure_loopback: bool,
    /// Milliseconds for whoever issues the credential to answer. Default: 5000.
    pub timeout_ms: Option<u64>,
    /// Seconds before its expiry from which a credential is not used any more. Default: 30.
    pub margin_s: Option<u64>,
}

impl Config {
    /// The files that it names, for whoever knows what they are relative to.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.secret_file, &mut self.key_file, &mut self.roots].into_iter().flatten()
    }
}

/// How a credential is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderType {
    /// A secret that is simply there.
    Static,
    /// An access token for the gateway itself (RFC 6749, section 4.4).
    OauthClientCredentials,
}

impl ProviderType {
    /// The word in configuration and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::OauthClientCredentials => "oauth-client-credentials",
        }
    }
}

/// How a client proves to a token endpoint who it is (OpenID Connect Core, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// By HTTP Basic (RFC 6749, section 2.3.1).
    ClientSecretBasic,
    /// In the body.
    ClientSecretPost,
    /// By a JWT that it signs (RFC 7523, section 2.2).
    PrivateKeyJwt,
}

/// What sort of server a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One on HTTP.
    Http,
    /// A local program.
    Program,
}

/// One thing that is wrong in a [`Config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, seen from `[server.credential]`: `token_url`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.problem)
    }
}
