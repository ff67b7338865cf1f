//! What can be wrong in the table of a credential, all of it at once.

use super::{ClientAuth, Config, Problem, ProviderType, Target};
use crate::wire;
use http::{HeaderName, header};

impl Config {
    /// Everything that is wrong; empty when the configuration can be used.
    #[must_use]
    pub fn check(&self, target: Target) -> Vec<Problem> {
        let mut found = Problems(Vec::new());
        let Some(provider_type) = self.provider_type else {
            found.add("type", &format!("is required: {}", ALL.join(", ")));
            return found.0;
        };
        for (key, types) in self.keys_present() {
            if !types.contains(&provider_type) {
                let types: Vec<_> = types.iter().map(|t| format!("`{}`", t.as_str())).collect();
                found.add(key, &format!("goes with {} only", types.join(", ")));
            }
        }
        if let Some(name) = &self.name {
            found.name("name", name);
        }
        self.check_place(provider_type, target, &mut found);
        self.check_bounds(&mut found);
        match provider_type {
            ProviderType::Static => found.secret(self, true),
            ProviderType::OauthClientCredentials => {
                self.check_token_endpoint(&mut found);
                self.check_client(&mut found);
            }
        }
        found.0
    }

    /// The keys that are written and belong to some types only.
    fn keys_present(&self) -> Vec<(&'static str, &'static [ProviderType])> {
        use ProviderType::{OauthClientCredentials as Client, Static};
        const OAUTH: &[ProviderType] = &[Client];
        const NETWORK: &[ProviderType] = &[Client];
        const HEADER: &[ProviderType] = &[Static, Client];
        [
            ("header", self.header.is_some(), HEADER),
            ("scheme", self.scheme.is_some(), HEADER),
            ("variable", self.variable.is_some(), &[Static]),
            ("secret_file", self.secret_file.is_some(), &[Static, Client]),
            ("secret_env", self.secret_env.is_some(), &[Static, Client]),
            ("token_url", self.token_url.is_some(), OAUTH),
            ("client_id", self.client_id.is_some(), OAUTH),
            ("client_auth", self.client_auth.is_some(), OAUTH),
            ("key_file", self.key_file.is_some(), OAUTH),
            ("key_id", self.key_id.is_some(), OAUTH),
            ("resource", self.resource.is_some(), OAUTH),
            ("scope", self.scope.is_some(), OAUTH),
            ("audience", self.audience.is_some(), OAUTH),
            ("roots", self.roots.is_some(), NETWORK),
            ("allow_insecure_loopback", self.allow_insecure_loopback, NETWORK),
            ("timeout_ms", self.timeout_ms.is_some(), NETWORK),
            ("margin_s", self.margin_s.is_some(), NETWORK),
        ]
        .into_iter()
        .filter_map(|(key, is_present, types)| is_present.then_some((key, types)))
        .collect()
    }

    fn check_place(&self, provider_type: ProviderType, target: Target, found: &mut Problems) {
        if target == Target::Program {
            if provider_type != ProviderType::Static {
                found.add(
                    "type",
                    "must be `static` for a local program, which is given it when it starts",
                );
            }
            match self.variable.as_deref() {
                None => found
                    .add("variable", "is required for a local program: the name of its variable"),
                Some(name) if !is_variable(name) => {
                    found.add(
                        "variable",
                        "must be a name of letters, digits and `_`, such as `API_TOKEN`",
                    );
                }
                Some(_) => {}
            }
            for (key, is_there) in
                [("header", self.header.is_some()), ("scheme", self.scheme.is_some())]
            {
                if is_there {
                    found.add(key, "is for servers with a `url`");
                }
            }
            return;
        }
        if self.variable.is_some() {
            found.add("variable", "is for local programs; a server with a `url` gets a header");
        }
        if let Some(name) = &self.header {
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => found.add("header", "must be the name of a header, such as `X-API-Key`"),
                Ok(name) if is_taken(&name) => {
                    found.add(
                        "header",
                        "is a header that HTTP or MCP needs for itself; choose another one",
                    );
                }
                Ok(_) => {}
            }
        }
        if let Some(scheme) = &self.scheme
            && !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            found.add("scheme", "must be one word such as `Bearer`, or empty");
        }
    }

    fn check_bounds(&self, found: &mut Problems) {
        found.within("timeout_ms", self.timeout_ms, TIMEOUT_MS_MAX, "milliseconds");
        found.within("margin_s", self.margin_s, MARGIN_S_MAX, "seconds");
    }

    fn check_token_endpoint(&self, found: &mut Problems) {
        found.address("token_url", self.token_url.as_deref(), self.allow_insecure_loopback);
        for (key, value) in [
            ("client_id", &self.client_id),
            ("resource", &self.resource),
            ("scope", &self.scope),
            ("audience", &self.audience),
        ] {
            if value.as_deref().is_some_and(|value| !is_plain(value)) {
                found.add(key, "must be visible ASCII, and not empty");
            }
        }
        let is_resource = |url: &url::Url| url.fragment().is_none();
        if let Some(resource) = &self.resource
            && !url::Url::parse(resource).is_ok_and(|url| is_resource(&url))
        {
            found.add("resource", "must be an absolute URI without a fragment (RFC 8707)");
        }
    }

    fn check_client(&self, found: &mut Problems) {
        if self.client_id.is_none() {
            found.add("client_id", "is required: who the gateway is to the token endpoint");
        }
        let signs = self.client_auth == Some(ClientAuth::PrivateKeyJwt);
        if signs {
            for (key, is_there) in [
                ("secret_file", self.secret_file.is_some()),
                ("secret_env", self.secret_env.is_some()),
            ] {
                if is_there {
                    found.add(key, "does not go with `private_key_jwt`, which takes `key_file`");
                }
            }
            if self.key_file.is_none() {
                found.add(
                    "key_file",
                    "is required for `private_key_jwt`: a private key in PEM or a JWK",
                );
            }
        } else {
            found.secret(self, true);
            for (key, is_there) in
                [("key_file", self.key_file.is_some()), ("key_id", self.key_id.is_some())]
            {
                if is_there {
                    found.add(key, "goes with `client_auth = \"private_key_jwt\"` only");
                }
            }
        }
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, problem: &str) {
        self.0.push(Problem { path: path.to_owned(), problem: problem.to_owned() });
    }

    fn name(&mut self, path: &str, name: &str) {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || NAME_BYTES_MAX < name.len() || !name.bytes().all(allowed) {
            self.add(path, "must be at most 64 letters, digits, `-`, `_` or `.`");
        }
    }

    fn within(&mut self, path: &str, value: Option<u64>, max: u64, unit: &str) {
        if value.is_some_and(|value| !(1..=max).contains(&value)) {
            self.add(path, &format!("must be 1 to {max} {unit}"));
        }
    }

    fn address(&mut self, path: &str, url: Option<&str>, insecure_loopback: bool) {
        let Some(url) = url else { return self.add(path, "is required: an `https` address") };
        if let Err(problem) = wire::address(url, insecure_loopback) {
            self.add(path, &problem);
        }
    }

    fn secret(&mut self, config: &Config, required: bool) {
        match (&config.secret_file, &config.secret_env) {
            (Some(_), Some(_)) => self.add("secret_env", "is there beside `secret_file`; keep one"),
            (None, None) if required => {
                self.add("secret_file", "is required, or `secret_env`: where the secret is");
            }
            (None, Some(name)) if !is_variable(name) => {
                self.add("secret_env", "must be the name of a variable, never the secret itself");
            }
            _ => {}
        }
    }
}

/// Headers that a credential must not take the place of: of the connection, of the body, of MCP.
fn is_taken(name: &HeaderName) -> bool {
    let own = [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::EXPECT,
        header::HOST,
        header::ORIGIN,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    own.contains(name) || name.as_str().starts_with("mcp-") || name.as_str() == "last-event-id"
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TEXT_BYTES_MAX
        && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.len() <= NAME_BYTES_MAX
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

const ALL: [&str; 2] = ["`static`", "`oauth-client-credentials`"];

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Longest text that goes to a token endpoint, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;

/// A call waits for its credential; nobody waits longer than this.
const TIMEOUT_MS_MAX: u64 = 60_000;

/// An hour: as long as most credentials last.
const MARGIN_S_MAX: u64 = 3_600;

#[cfg(test)]
mod tests;
