//! What clients without access are told, and that access to one endpoint is none to another.

use crate::client::{Ask, Http2, Reply};
use crate::event_stream::{Client, at};
use crate::messages::{INITIALIZE, code, initialize, modern_call, reason, result};
use crate::rig::{ISSUER, Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, json};
use http::Method;
use serde_json::{Value, json as value};
use tokio::net::TcpStream;

const PUBLIC: &str = "https://gw.example";

/// Two servers, and all of them together.
const ENDPOINTS: [&str; 6] = ["/mcp", "/sse", "/s/srv/mcp", "/s/srv/sse", "/s/b/mcp", "/s/b/sse"];

async fn rig() -> (Upstream, Rig) {
    rig_that_answers("1").await
}

/// With servers that answer this id whatever they are asked.
async fn rig_that_answers(id: &'static str) -> (Upstream, Rig) {
    let upstream = Upstream::start(move |_| async move { Some(json(result(id))) }).await;
    let plan = Plan { public_url: Some(PUBLIC), ..Plan::http(&upstream) };
    let rig = plan.and("b", upstream.address).start().await;
    (upstream, rig)
}

fn well_known(path: &str) -> String {
    format!("/.well-known/oauth-protected-resource{path}")
}

fn challenge(reply: &Reply) -> &str {
    reply.headers["www-authenticate"].to_str().unwrap()
}

/// Every way to ask something of an endpoint, whoever asks.
fn ways(path: &str) -> Vec<Ask> {
    let here = |ask: Ask| Ask { path: path.to_owned(), ..ask };
    if let Some(before) = path.strip_suffix("/sse") {
        let message = format!("{before}/message?sessionId=none");
        return vec![here(Ask::new(Method::GET)), at(Method::POST, &message, INITIALIZE)];
    }
    let operation = |method| here(Ask::new(method)).session("none");
    vec![
        here(modern_call("1", "echo")),
        here(modern_call("1", "b__echo")),
        here(initialize()),
        operation(Method::GET).header("accept", "text/event-stream"),
        operation(Method::DELETE),
    ]
}

#[tokio::test]
async fn each_endpoint_has_its_metadata() {
    let (upstream, rig) = rig().await;
    let get = |path: String| at(Method::GET, &path, "");
    for (path, name) in ENDPOINTS.iter().zip(["gw", "gw", "srv", "srv", "b", "b"]) {
        let reply = get(well_known(path)).send(rig.address).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.headers["cache-control"], "public, max-age=300");
        let metadata: Value = serde_json::from_slice(&reply.bytes().await).unwrap();
        let expected = value!({
            "resource": format!("{PUBLIC}{path}"),
            "authorization_servers": [ISSUER],
            "bearer_methods_supported": ["header"],
            "resource_name": name,
        });
        assert_eq!(metadata, expected);
    }
    let root = get(well_known("")).send(rig.address).await.bytes().await;
    assert_eq!(root, get(well_known("/mcp")).send(rig.address).await.bytes().await);
    let head = at(Method::HEAD, &well_known("/mcp"), "").send(rig.address).await;
    assert_eq!((head.status, head.bytes().await.len()), (200, 0));
    let nothing = ["/", "/healthz", "/s/c/mcp", "/s/b/message", "/message", "/MCP", "/mcp/", "x"];
    for path in nothing {
        let reply = get(well_known(path)).send(rig.address).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    let posted = at(Method::POST, &well_known("/mcp"), "{}").send(rig.address).await;
    assert_eq!((posted.status, &posted.headers["allow"] == "GET, HEAD"), (405, true));
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons.len(), nothing.len() + 1);
    assert_eq!(reasons.iter().filter(|reason| **reason == "http.method").count(), 1);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_single_server_and_a_path_before_all_have_metadata_too() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let public_url = Some("https://gw.example/a");
    let rig = Plan { public_url, ..Plan::http(&upstream) }.start().await;
    let get = |path: &str| at(Method::GET, &well_known(path), "");
    for path in ["/mcp", "/sse", "/s/srv/mcp", "/s/srv/sse"] {
        let reply = get(&format!("/a{path}")).send(rig.address).await;
        let metadata: Value = serde_json::from_slice(&reply.bytes().await).unwrap();
        assert_eq!(metadata["resource"], format!("https://gw.example/a{path}"));
        assert_eq!(metadata["resource_name"], "srv");
        assert_eq!(get(path).send(rig.address).await.status, 404);
    }
    let told = modern_call("1", "echo").send(rig.address).await;
    let url = "https://gw.example/.well-known/oauth-protected-resource/a/mcp";
    assert_eq!(challenge(&told), format!("Bearer resource_metadata=\"{url}\""));
    rig.stop().await;
}

#[tokio::test]
async fn without_a_public_url_nothing_is_told() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    for path in ["", "/mcp"] {
        let reply = at(Method::GET, &well_known(path), "").send(rig.address).await;
        assert_eq!(reply.status, 404);
    }
    let none = modern_call("1", "echo").send(rig.address).await;
    assert_eq!(challenge(&none), "Bearer realm=\"mcp\"");
    rig.stop().await;
}

#[tokio::test]
async fn who_has_no_access_is_told_where_to_get_it() {
    let (upstream, rig) = rig().await;
    let mut sent = 0;
    for path in ENDPOINTS {
        let url = format!("{PUBLIC}{}", well_known(path));
        for ask in ways(path) {
            let none = ask.clone().send(rig.address).await;
            assert_eq!(none.status, 401, "{path}");
            assert_eq!(challenge(&none), format!("Bearer resource_metadata=\"{url}\""));
            assert!(reason(&none.message().await).ends_with("identity.missing"));
            let other = ask.clone().header("authorization", "Basic YTpi").send(rig.address).await;
            assert_eq!(challenge(&other), format!("Bearer resource_metadata=\"{url}\""));
            let bad = ask.token("a.b.c").send(rig.address).await;
            let expected = format!(
                "Bearer error=\"invalid_token\", error_description=\"credential is not a \
                 well-formed token\", resource_metadata=\"{url}\""
            );
            assert_eq!((bad.status, challenge(&bad)), (401, &*expected), "{path}");
            sent += 3;
        }
    }
    assert_eq!(rig.stop().await.refusals().len(), sent);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_token_for_one_endpoint_is_none_for_another() {
    let (upstream, rig) = rig().await;
    let mut sent = 0;
    for own in ENDPOINTS {
        let token = rig.token_for("alice", &format!("{PUBLIC}{own}"));
        for other in ENDPOINTS.into_iter().filter(|other| *other != own) {
            for ask in ways(other) {
                let reply = ask.token(&token).send(rig.address).await;
                assert_eq!(reply.status, 401, "{own} at {other}");
                assert!(challenge(&reply).contains(&format!("{}\"", well_known(other))));
                assert_eq!(reason(&reply.message().await), "identity.wrong-audience");
                sent += 1;
            }
        }
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(rig.stop().await.refusals().len(), sent);
}

#[tokio::test]
async fn it_is_none_either_while_it_is_remembered_or_on_the_same_connection() {
    let (upstream, rig) = rig().await;
    let token = rig.token_for("alice", &format!("{PUBLIC}/s/b/mcp"));
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let connection = Http2::over(stream).await;
    let authority = rig.address.to_string();
    for (path, status) in [("/s/b/mcp", 200), ("/s/srv/mcp", 401), ("/mcp", 401), ("/s/b/mcp", 200)]
    {
        let ask = Ask { path: path.to_owned(), ..modern_call("1", "echo") };
        let reply = connection.send(ask.token(&token), &authority).await.unwrap();
        assert_eq!(reply.status, status, "{path}");
    }
    assert_eq!(upstream.seen().len(), 2);
    rig.stop().await;
}

#[tokio::test]
async fn messages_of_a_stream_are_for_the_address_of_the_stream() {
    let (_upstream, rig) = rig_that_answers("0").await;
    let token = rig.token_for("alice", &format!("{PUBLIC}/s/b/sse"));
    let mut stream = at(Method::GET, "/s/b/sse", "").token(&token).send(rig.address).await;
    let first = stream.event().await;
    let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim().to_owned();
    let mut client = Client { stream, endpoint };
    let say = |token: &str| at(Method::POST, &client.endpoint, INITIALIZE).token(token);
    let other = rig.token_for("alice", &format!("{PUBLIC}/s/b/mcp"));
    assert_eq!(say(&other).send(rig.address).await.status, 401);
    assert_eq!(say(&token).send(rig.address).await.status, 202);
    assert!(client.hear().await.contains("result"));
    drop(client);
    rig.until(trail::Trail::is_settled).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_token_in_the_url_is_refused_and_nowhere_on_record() {
    let (upstream, rig) = rig().await;
    let mut sent = 0;
    let canary = rig.token_for("alice", &format!("{PUBLIC}/s/b/mcp"));
    for path in ENDPOINTS {
        for ask in ways(path) {
            let mark = if ask.path.contains('?') { '&' } else { '?' };
            let path = format!("{}{mark}access_token={canary}", ask.path);
            for ask in
                [Ask { path: path.clone(), ..ask.clone() }.token(&canary), Ask { path, ..ask }]
            {
                let reply = ask.send(rig.address).await;
                assert_eq!(reply.status, 400);
                assert!(challenge(&reply).starts_with("Bearer error=\"invalid_request\", "));
                let message = reply.message().await;
                assert_eq!((code(&message), reason(&message)), (40_006, "http.token-in-query"));
                assert!(!message.to_string().contains(&canary));
                sent += 1;
            }
        }
    }
    assert!(upstream.seen().is_empty());
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, &canary))).await;
    assert_eq!(trail.refusals().len(), sent);
}
