//! A small HTTP server for pages that do not belong on the address of the MCP endpoint, such as metrics.
//! No call goes this way: requests have no bodies here, and answers are whole.

use crate::beside::Beside;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Open connections; more wait in the accept queue of the operating system.
const CONNECTIONS_MAX: usize = 64;

/// Time to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves pages until `stop`.
pub async fn serve_aside(listener: TcpListener, pages: Arc<dyn Beside>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (pages, stop) = (Arc::clone(&pages), stop.clone());
                connections.spawn(async move {
                    serve_connection(stream, pages, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for pages could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: TcpStream, pages: Arc<dyn Beside>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move {
            let (head, _) = request.into_parts();
            let response = match pages.answer(&head, Bytes::new()) {
                Some(answer) => answer.await,
                None => not_found(),
            };
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = connection => ended,
        () = stop.cancelled() => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection for pages ended early");
    }
}

fn not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"no such page\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
