//! What others serve on the address of the gateway.

use crate::client::Ask;
use crate::messages;
use crate::rig::Plan;
use crate::upstream::{Upstream, json};
use bytes::Bytes;
use gateway::{Answering, Beside, RequestHead};
use http::{Method, Response};
use std::sync::{Arc, Mutex};

/// Answers every path but `/healthz` and `/elsewhere`, and keeps what it was asked.
#[derive(Debug, Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
}

impl Beside for Echo {
    fn body_bytes_max(&self, request: &RequestHead) -> Option<usize> {
        (request.uri.path() == "/told").then_some(8)
    }

    fn answer<'a>(&'a self, request: &'a RequestHead, body: Bytes) -> Option<Answering<'a>> {
        let (method, path) = (&request.method, request.uri.path());
        self.asked.lock().unwrap().push(format!("{method} {path}"));
        if ["/healthz", "/elsewhere"].contains(&path) {
            return None;
        }
        Some(Box::pin(async move {
            let told = String::from_utf8_lossy(&body);
            let mut response = Response::new(Bytes::from(format!("this is {path}\n{told}")));
            response.headers_mut().insert("x-method", method.as_str().parse().unwrap());
            response
        }))
    }
}

#[tokio::test]
async fn what_is_beside_the_endpoint_is_asked_first_and_never_for_the_endpoint() {
    let upstream = Upstream::start(|_| async { Some(json(messages::result("1"))) }).await;
    let echo = Arc::new(Echo::default());
    let rig = Plan { beside: Some(echo.clone()), ..Plan::http(&upstream) }.start().await;
    let at = |path: &str| Ask { path: path.to_owned(), ..Ask::new(Method::GET) };
    let got = at("/log/checkpoint").send(rig.address).await;
    assert_eq!((got.status, got.headers["x-method"].to_str().unwrap()), (200, "GET"));
    assert_eq!(got.bytes().await, "this is /log/checkpoint\n");
    assert_eq!(at("/healthz").send(rig.address).await.bytes().await, "ok\n");
    assert_eq!(at("/elsewhere").send(rig.address).await.status, 404);
    rig.send(messages::initialize()).await;
    let asked = echo.asked.lock().unwrap().clone();
    assert_eq!(asked, ["GET /log/checkpoint", "GET /healthz", "GET /elsewhere"]);
    rig.stop().await;
}

#[tokio::test]
async fn bodies_are_read_where_they_are_wanted_and_within_their_bound() {
    let upstream = Upstream::start(|_| async { Some(json(messages::result("1"))) }).await;
    let echo = Arc::new(Echo::default());
    let rig = Plan { beside: Some(echo.clone()), ..Plan::http(&upstream) }.start().await;
    let post = |path: &str, body: &'static str| {
        let ask = Ask { path: path.to_owned(), ..Ask::post(body) };
        ask.send(rig.address)
    };
    assert_eq!(post("/told", "12345678").await.bytes().await, "this is /told\n12345678");
    assert_eq!(post("/told", "123456789").await.status, 413);
    assert_eq!(post("/other", "12345678").await.bytes().await, "this is /other\n");
    assert_eq!(echo.asked.lock().unwrap().len(), 2);
    rig.stop().await;
}
