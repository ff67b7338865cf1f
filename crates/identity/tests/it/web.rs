//! Key sets behind an address: a loopback server that answers as the test says.

use crate::fixture::{block_on, config, good, issuer, now, present, provider};
use identity::dev::TokenIssuer;
use identity::{ConfigError, KeyError, ProviderConfig, Reason, Verifier};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server on a loopback port that gives every request the same answer.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// Sends `answer` to each request; with `None` it never answers.
    async fn start(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                assert!(
                    !String::from_utf8_lossy(&request).to_lowercase().contains("authorization")
                );
                match &answer {
                    // The reader may hang up early; that is its right.
                    Some(answer) => drop(stream.write_all(answer).await),
                    None => kept.push(stream),
                }
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn http(status: &str, headers: &str, body: &str) -> Option<Vec<u8>> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}");
    Some(format!("{head}\r\n{body}").into_bytes())
}

fn trusting(url: &str) -> Verifier {
    let provider = ProviderConfig {
        jwks_url: Some(url.to_owned()),
        allow_insecure_loopback: true,
        ..provider()
    };
    Verifier::new(&config(provider)).unwrap()
}

async fn warm(verifier: &Verifier) -> Result<(), KeyError> {
    verifier.warm_up(now()).await.remove(0).1
}

#[test]
fn keys_are_fetched_over_http_from_loopback_when_allowed() {
    block_on(async {
        let issuer: TokenIssuer = issuer("k1");
        let server = Server::start(http("200 OK", "", &issuer.jwks())).await;
        for host in ["127.0.0.1", "localhost"] {
            let verifier = trusting(&format!("http://{host}:{}/jwks", server.port));
            present(&verifier, &good(&issuer), now()).await.unwrap();
            present(&verifier, &good(&issuer), now()).await.unwrap();
        }
        assert_eq!(server.requests(), 2);
    });
}

#[test]
fn redirects_are_not_followed() {
    block_on(async {
        let issuer = issuer("k1");
        let target = Server::start(http("200 OK", "", &issuer.jwks())).await;
        for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
        {
            let location = format!("location: http://127.0.0.1:{}/jwks\r\n", target.port);
            let server = Server::start(http(status, &location, "")).await;
            let verifier = trusting(&format!("http://127.0.0.1:{}/jwks", server.port));
            let code = status.get(..3).unwrap().parse().unwrap();
            assert_eq!(warm(&verifier).await, Err(KeyError::Status { status: code }));
            assert_eq!(server.requests(), 1);
            let rejection = present(&verifier, &good(&issuer), now()).await.unwrap_err();
            assert_eq!(rejection.reason, Reason::KeysUnavailable);
        }
        assert_eq!(target.requests(), 0);
    });
}

#[test]
fn other_answers_are_errors() {
    block_on(async {
        let key_set = issuer("k1").jwks();
        let chunked = |body: &str| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            Some(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes())
        };
        let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(256 * 1024));
        let fetched = async |answer: Option<Vec<u8>>| {
            let server = Server::start(answer).await;
            warm(&trusting(&format!("http://127.0.0.1:{}/", server.port))).await
        };
        for status in [204, 206, 404, 500] {
            let answer = http(&format!("{status} X"), "", &key_set);
            assert_eq!(fetched(answer).await, Err(KeyError::Status { status }));
        }
        assert_eq!(fetched(http("200 OK", "", &large)).await, Err(KeyError::TooLarge));
        assert_eq!(fetched(chunked(&large)).await, Err(KeyError::TooLarge));
        // Reading stops at the limit: this body promises more and then breaks off.
        let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{large}");
        assert_eq!(fetched(Some(endless.into_bytes())).await, Err(KeyError::TooLarge));
        assert_eq!(fetched(chunked(&key_set)).await, Ok(()));
        let malformed = fetched(http("200 OK", "", "<html>")).await;
        assert!(matches!(malformed, Err(KeyError::Malformed { .. })), "{malformed:?}");
        for broken in
            [&b"SSH-2.0-x\r\n\r\n"[..], b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"]
        {
            let unreachable = fetched(Some(broken.to_vec())).await;
            assert!(matches!(unreachable, Err(KeyError::Unreachable { .. })), "{unreachable:?}");
        }
    });
}

#[test]
fn a_server_that_is_not_there_or_never_answers_is_given_up() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let result = block_on(async { warm(&trusting(&format!("http://127.0.0.1:{closed}/"))).await });
    assert!(matches!(result, Err(KeyError::Unreachable { .. })), "{result:?}");

    // The clock of the runtime jumps ahead as soon as everybody waits.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let result = runtime.block_on(async {
        let server = Server::start(None).await;
        warm(&trusting(&format!("http://127.0.0.1:{}/", server.port))).await
    });
    assert_eq!(result, Err(KeyError::Unreachable { problem: "no answer in time".to_owned() }));
}

#[test]
fn names_that_lead_inside_are_refused_without_a_connection() {
    block_on(async {
        let server = Server::start(http("200 OK", "", &issuer("k1").jwks())).await;
        // The scheme is safe and the text of the name is harmless; its address is not.
        let url = format!("https://localhost:{}/jwks", server.port);
        let named = ProviderConfig { jwks_url: Some(url), ..provider() };
        let private = ProviderConfig { allow_private_addresses: true, ..named.clone() };
        for provider in [named, private] {
            let verifier = Verifier::new(&config(provider)).unwrap();
            let refused = warm(&verifier).await;
            assert!(matches!(refused, Err(KeyError::ForbiddenAddress { .. })), "{refused:?}");
        }
        assert_eq!(server.requests(), 0);
    });
}

#[test]
fn addresses_that_lead_inside_are_a_mistake_in_the_configuration() {
    for url in
        ["https://127.0.0.1/", "https://169.254.169.254/", "https://10.0.0.1/", "http://x.example/"]
    {
        let provider = ProviderConfig { jwks_url: Some(url.to_owned()), ..provider() };
        let error = Verifier::new(&config(provider)).unwrap_err();
        let ConfigError::Invalid { problems } = &error else { panic!("{error}") };
        assert_eq!(problems[0].path, "provider[0].jwks_url");
    }
}
