//! A plain request to somebody who is no MCP server, and a connection to somebody who may be one. Knows
//! no protocol above HTTP.

use ::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower_service::Service as _;
use url::Url;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `Date` header.
    pub(super) date: Option<String>,
}

/// Connects, with TLS for `https`, and sends nothing.
pub(super) async fn connect(url: &Url) -> Result<(), String> {
    let uri: Uri = url.as_str().parse().map_err(|error| format!("{error}"))?;
    let mut connector = connector()?;
    match tokio::time::timeout(TIMEOUT, connector.call(uri)).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(error)) => Err(innermost(&*error)),
        Err(_) => Err(format!("no connection within {} s", TIMEOUT.as_secs())),
    }
}

/// Asks for a page. Never to be used on an MCP server.
pub(super) async fn ask(url: &Url) -> Result<Answer, String> {
    let request = Request::get(url.as_str()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| format!("{error}"))?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector()?);
    match tokio::time::timeout(TIMEOUT, client.request(request)).await {
        Ok(Ok(response)) => Ok(Answer {
            status: response.status().as_u16(),
            date: response
                .headers()
                .get(::http::header::DATE)
                .and_then(|date| date.to_str().ok())
                .map(ToOwned::to_owned),
        }),
        Ok(Err(error)) => Err(innermost(&error)),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn connector() -> Result<HttpsConnector<HttpConnector>, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(TIMEOUT));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)
        .map_err(|error| error.to_string())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

const TIMEOUT: Duration = Duration::from_secs(5);
