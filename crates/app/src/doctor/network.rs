//! Everybody at the other end of a wire: servers, trust providers, witnesses, timestamp authorities, the
//! collector of traces, and a running gateway itself.

use super::finding::Finding;
use super::http;
use crate::config::Config;
use audit::Clock;
use gateway::config::Server;
use identity::Verifier;
use note::Policy;
use url::Url;

pub(super) async fn check(config: &Config, running: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in &config.servers {
        if let Server::Http { url, .. } | Server::Sse { url, .. } = &server.server {
            let has_own_tls = config.tls.servers.contains_key(&server.name);
            let url = if has_own_tls { without_tls(url) } else { url.clone() };
            findings.push(
                reached("server", &server.name, &url, "every call to this server fails").await,
            );
        }
    }
    findings.extend(identity(config).await);
    for (name, url) in witnesses(config) {
        findings
            .push(reached("witness", &name, &url, "checkpoints go without its cosignature").await);
    }
    for url in config.log.tsa.iter().flat_map(|tsa| &tsa.urls) {
        findings.push(reached("timestamp", url.as_str(), url, "no time is stamped by it").await);
    }
    if let Some(traces) = &config.operation.traces {
        let why = "spans are dropped; calls go on";
        findings.push(optional("traces", &traces.url, why).await);
    }
    if running {
        findings.push(health(config).await);
    }
    findings
}

async fn reached(check: &'static str, name: &str, url: &Url, why: &'static str) -> Finding {
    match http::connect(url).await {
        Ok(()) => Finding::ok(check, format!("{name} is reachable")),
        Err(reason) => Finding::error(check, format!("{name} is not reachable: {reason}"))
            .because(why)
            .so("start it, or correct its address; look at firewalls and certificates"),
    }
}

/// The same place without a word of TLS. Whom to trust there, and as whom to connect, only the gateway
/// knows: a handshake without that would fail and mean nothing.
fn without_tls(url: &Url) -> Url {
    let plain = url.host_str().zip(url.port_or_known_default());
    let plain = plain.and_then(|(host, port)| format!("http://{host}:{port}/").parse().ok());
    plain.unwrap_or_else(|| url.clone())
}

async fn optional(check: &'static str, url: &Url, why: &'static str) -> Finding {
    match http::connect(url).await {
        Ok(()) => Finding::ok(check, format!("{url} is reachable")),
        Err(reason) => Finding::warning(check, format!("{url} is not reachable: {reason}"))
            .because(why)
            .so("start the collector, or correct its address"),
    }
}

/// Whether the keys of every trust provider can be had now.
async fn identity(config: &Config) -> Vec<Finding> {
    let verifier = match Verifier::new(&config.identity) {
        Ok(verifier) => verifier,
        Err(error) => {
            return vec![
                Finding::error("identity", error.to_string())
                    .because("the gateway does not start")
                    .so("correct `[identity]`"),
            ];
        }
    };
    let mut findings = Vec::new();
    for (provider, loaded) in verifier.warm_up(Clock::start().now()).await {
        findings.push(match loaded {
            Ok(()) => Finding::ok("identity", format!("the keys of {provider} are there")),
            Err(error) => Finding::error("identity", format!("{provider}: {error}"))
                .because("tokens of this provider cannot be verified: its callers are refused")
                .so("correct `jwks_url`, or wait until the provider is there"),
        });
    }
    if !config.identity.api_key.is_empty() {
        let number = config.identity.api_key.len();
        findings.push(
            Finding::warning("identity", format!("{number} static API keys are accepted"))
                .because("they are for development: they never expire and name no person")
                .so("take `[[identity.api_key]]` out when a trust provider is there"),
        );
    }
    if config.identity.allow_anonymous {
        findings.push(
            Finding::warning("identity", "callers without a credential are served")
                .because("their calls are on record as those of nobody")
                .so("set `allow_anonymous = false`"),
        );
    }
    findings
}

/// The witnesses that have an address.
fn witnesses(config: &Config) -> Vec<(String, Url)> {
    let Some(witness) = &config.log.witness else { return Vec::new() };
    let policy = std::fs::read(&witness.policy).ok().and_then(|text| Policy::parse(&text).ok());
    let policy = policy.iter().flat_map(Policy::witnesses);
    policy
        .filter_map(|witness| Some((witness.name.clone(), witness.url.as_ref()?.parse().ok()?)))
        .collect()
}

/// What a gateway that runs with this log says of itself.
async fn health(config: &Config) -> Finding {
    let address = match (&config.tls.listener, config.operation.metrics) {
        (None, _) => config.listener.address,
        (Some(_), Some(pages)) => pages,
        // Its certificate is for a name that clients use, and not for the address that is known here.
        (Some(_), None) => {
            return Finding::ok(
                "gateway",
                "a gateway has the log in use; not asked how it is, since it speaks TLS and there is no `[metrics] listen`",
            );
        }
    };
    let page = format!("http://{address}/healthz");
    let Ok(url) = page.parse::<Url>() else {
        return Finding::warning("gateway", format!("`{page}` is no address"));
    };
    match http::ask(&url).await {
        Ok(answer) if answer.status == 200 => {
            Finding::ok("gateway", "a gateway is running, and its log takes records")
        }
        Ok(answer) => Finding::error("gateway", format!("{page} answers {}", answer.status))
            .because("its log takes no records: every call is refused")
            .so("look at its log lines; it says why"),
        Err(reason) => {
            Finding::warning("gateway", format!("the log is in use, but {page}: {reason}"))
                .because("another program writes to the log, or the gateway hangs")
                .so("look which process holds the file `lock` in the directory of the log")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{health, identity, optional, reached};
    use crate::config::Config;
    use std::path::Path;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use url::Url;

    fn config(more: &str) -> Config {
        let text = format!(
            "[gateway]\nname = \"gw\"\n{more}\n[server]\nname = \"s\"\nurl = \"http://127.0.0.1:1/mcp\"\n"
        );
        Config::parse(&text, Path::new("/nowhere")).unwrap()
    }

    fn url(listener: &TcpListener) -> Url {
        format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap()
    }

    #[tokio::test]
    async fn a_server_is_reached_without_a_word_to_it() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = url(&listener);
        let found = reached("server", "s", &url, "why").await;
        assert_eq!(found.level, Level::Ok, "{found}");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty(), "{heard:?}");
        drop(listener);
        assert_eq!(reached("server", "s", &url, "why").await.level, Level::Error);
        assert_eq!(optional("traces", &url, "why").await.level, Level::Warning);
    }

    #[tokio::test]
    async fn what_a_running_gateway_says_is_found() {
        for (status, level) in [("200 OK", Level::Ok), ("503 No", Level::Error)] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let answer = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1_024];
                let read = stream.read(&mut head).await.unwrap();
                assert!(head[..read].starts_with(b"GET /healthz "));
                let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            });
            let config =
                config(&format!("listen = \"{address}\"\n[identity]\nallow_anonymous = true"));
            assert_eq!(health(&config).await.level, level);
            answer.await.unwrap();
            assert_eq!(health(&config).await.level, Level::Warning);
        }
    }

    #[tokio::test]
    async fn a_gateway_with_tls_is_asked_on_its_other_address_or_not_at_all() {
        let with = |more: &str| {
            let tls = "[gateway.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
            config(&format!("{tls}[identity]\nallow_anonymous = true\n{more}"))
        };
        let found = health(&with("")).await;
        assert_eq!(found.level, Level::Ok);
        assert!(found.what.contains("not asked"), "{found}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let found = health(&with(&format!("[metrics]\nlisten = \"{address}\"\n"))).await;
        assert_eq!(found.level, Level::Warning);
        assert!(found.what.contains(&address.to_string()), "{found}");
    }

    #[test]
    fn a_server_with_authorities_of_its_own_is_only_connected_to() {
        let plain = |url: &str| super::without_tls(&url.parse().unwrap()).to_string();
        assert_eq!(plain("https://srv.example/mcp"), "http://srv.example:443/");
        assert_eq!(plain("https://[::1]:8443/mcp"), "http://[::1]:8443/");
    }

    #[tokio::test]
    async fn keys_that_cannot_be_had_and_weak_ways_to_be_known_are_found() {
        let text = "[identity]\naudience = \"a\"\nallow_anonymous = true\n[[identity.provider]]\n\
            name = \"ci\"\nissuer = \"https://issuer.example\"\njwks_file = \"/nowhere/jwks.json\"\n";
        let levels: Vec<Level> =
            identity(&config(text)).await.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Error, Level::Warning]);
    }
}
