//! Which line of a program belongs to whom.

use super::{Opened, Routes, SendError};
use crate::call::Call;
use crate::upstream::waiting::{Behind, LINES_BYTES_MAX, LINES_MAX, LineReceiver};
use crate::withheld::Withholding;
use bytes::Bytes;
use mcp::Frame;
use std::time::Instant;

const LINE_BYTES_MAX: usize = 16 << 20;

fn routes() -> Routes {
    Routes::new(LINE_BYTES_MAX, Instant::now())
}

/// Opens a route for a request, as an exchange does.
fn open(routes: &mut Routes, request: &str) -> Opened {
    try_open(routes, request).unwrap()
}

fn try_open(routes: &mut Routes, request: &str) -> Result<Opened, SendError> {
    let Ok(Frame::Single(message)) = mcp::parse(request.as_bytes(), &mcp::Limits::default()) else {
        panic!("not a message: {request}");
    };
    let call = Call::of(&message, "srv").unwrap();
    routes.open(&call, Bytes::copy_from_slice(request.as_bytes()))
}

fn request(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
}

fn deliver(routes: &mut Routes, line: &str) {
    // Who gets it, or that nobody does, is seen in the queues.
    routes.deliver(&Bytes::copy_from_slice(line.as_bytes())).ok();
}

/// What has come so far, and whether no more can come.
fn taken(queue: &mut LineReceiver) -> (Vec<String>, bool) {
    let (lines, ended) = queue.taken_now().unwrap();
    (lines.iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect(), ended)
}

const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;

#[test]
fn an_answer_ends_its_route_only() {
    let mut routes = routes();
    let (mut one, mut two) =
        (open(&mut routes, &request("1")), open(&mut routes, &request("\"1\"")));
    assert_eq!(one.line, request("1"));
    assert_eq!(two.line, request("\"1\""), "a number and a text are two ids");
    let answer = r#"{"jsonrpc":"2.0","id":"1","result":{}}"#;
    deliver(&mut routes, answer);
    assert_eq!(taken(&mut one.queue), (vec![], false));
    assert_eq!(taken(&mut two.queue), (vec![answer.to_owned()], true));
    // Too late, or never asked: nobody gets it.
    deliver(&mut routes, answer);
    deliver(&mut routes, r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    assert_eq!(taken(&mut one.queue), (vec![], false));
    assert!(routes.backlog.lines().is_empty());
}

#[test]
fn an_id_in_use_is_stood_in_for_and_given_back() {
    let mut routes = routes();
    let first = open(&mut routes, &request("7"));
    let mut second = open(&mut routes, &request("7"));
    let mut third = open(&mut routes, &request("7"));
    assert_eq!(first.id.to_string(), "7");
    assert_ne!(second.id, third.id);
    assert_eq!(second.line, request(&second.id.to_string()));
    for opened in [&mut third, &mut second] {
        let answer =
            |id: &str| format!(r#"{{ "id" : {id}, "result":{{"n":1.0}}, "jsonrpc":"2.0"}}"#);
        deliver(&mut routes, &answer(&opened.id.to_string()));
        assert_eq!(taken(&mut opened.queue), (vec![answer("7")], true));
    }
    assert_eq!(routes.by_id.len(), 1);
    drop(first);
}

#[test]
fn a_free_id_is_used_as_it_is() {
    let mut routes = routes();
    let first = open(&mut routes, &request("7"));
    routes.close(&first.id);
    let second = open(&mut routes, &request("7"));
    assert_eq!(second.line, request("7"));
}

fn with_token(id: &str, token: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{"_meta":{{"progressToken":{token}}}}}}}"#
    )
}

fn progress(token: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
    )
}

#[test]
fn progress_goes_to_whoever_gave_the_token() {
    let mut routes = routes();
    let mut one = open(&mut routes, &with_token("1", "\"t\""));
    let mut two = open(&mut routes, &with_token("2", "\"t\""));
    assert_eq!(one.line, with_token("1", "\"t\""));
    let other = mcp_token(&two.line);
    assert_eq!(two.line, with_token("2", &other));
    deliver(&mut routes, &progress(&other));
    deliver(&mut routes, &progress("\"t\""));
    assert_eq!(taken(&mut one.queue), (vec![progress("\"t\"")], false));
    assert_eq!(taken(&mut two.queue), (vec![progress("\"t\"")], false));
    // The token is free again when its call is over.
    routes.close(&one.id);
    let three = open(&mut routes, &with_token("3", "\"t\""));
    assert_eq!(three.line, with_token("3", "\"t\""));
    routes.close(&two.id);
    assert_eq!(routes.by_token.len(), 1);
}

fn mcp_token(line: &Bytes) -> String {
    super::splice::value_at(line, super::splice::REQUEST_TOKEN).unwrap()
}

fn listen(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"notifications":{{"toolsListChanged":true}}}}}}"#
    )
}

fn news(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
    )
}

#[test]
fn news_go_to_their_subscription_under_its_own_id() {
    let mut routes = routes();
    let mut one = open(&mut routes, &listen("\"l\""));
    let mut two = open(&mut routes, &listen("\"l\""));
    let mut call = open(&mut routes, &request("5"));
    deliver(&mut routes, &news("\"l\""));
    deliver(&mut routes, &news(&two.id.to_string()));
    assert_eq!(taken(&mut one.queue), (vec![news("\"l\"")], false));
    assert_eq!(taken(&mut two.queue), (vec![news("\"l\"")], false));
    // A call that is no subscription takes no news by its id.
    deliver(&mut routes, &news("5"));
    assert_eq!(taken(&mut call.queue), (vec![news("5")], false), "as the newest exchange only");
    let last = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        )
    };
    deliver(&mut routes, &last(&two.id.to_string()));
    assert_eq!(taken(&mut two.queue), (vec![last("\"l\"")], true));
}

#[test]
fn what_names_no_exchange_goes_to_the_newest_call_and_no_subscription() {
    let mut routes = routes();
    let mut one = open(&mut routes, &request("1"));
    let mut two = open(&mut routes, &request("2"));
    let mut listening = open(&mut routes, &listen("3"));
    deliver(&mut routes, NOTICE);
    assert_eq!(taken(&mut one.queue), (vec![], false));
    assert_eq!(taken(&mut two.queue), (vec![NOTICE.to_owned()], false));
    assert_eq!(taken(&mut listening.queue), (vec![], false));
    routes.close(&two.id);
    routes.close(&one.id);
    deliver(&mut routes, NOTICE);
    assert_eq!(taken(&mut listening.queue), (vec![], false));
    assert_eq!(routes.backlog.lines().len(), 1);
}

#[test]
fn a_listener_comes_before_calls_until_it_is_gone() {
    let mut routes = routes();
    let mut call = open(&mut routes, &request("1"));
    let (lines, mut queue) = routes.waiting.queue();
    routes.listener = Some(lines);
    deliver(&mut routes, NOTICE);
    assert_eq!(taken(&mut queue), (vec![NOTICE.to_owned()], false));
    drop(queue);
    deliver(&mut routes, NOTICE);
    assert_eq!(taken(&mut call.queue), (vec![NOTICE.to_owned()], false));
    assert!(routes.listener.is_none());
}

#[test]
fn an_exchange_that_does_not_keep_up_is_cut_off() {
    let long = progress(&format!("1,\"x\":\"{}\"", "x".repeat(LINES_BYTES_MAX / 3)));
    for (notice, fit) in [(progress("1"), LINES_MAX), (long, 3)] {
        let mut routes = routes();
        let mut slow = open(&mut routes, &with_token("1", "1"));
        let mut other = open(&mut routes, &with_token("2", "2"));
        for _ in 0..fit {
            deliver(&mut routes, &notice);
        }
        // Who takes them in time gets all of them.
        assert_eq!(taken(&mut slow.queue).0.len(), fit);
        for _ in 0..=fit {
            deliver(&mut routes, &notice);
        }
        let again = routes.deliver(&Bytes::from(notice.clone()));
        assert_eq!(again, Err(Withholding::Unheard));
        assert_eq!(slow.queue.taken_now(), Err(Behind));
        let answer = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        deliver(&mut routes, &progress("2"));
        deliver(&mut routes, &answer(2));
        assert_eq!(taken(&mut other.queue), (vec![progress("2"), answer(2)], true));
        // Its own answer is one to a call, which has had its end.
        let late = Bytes::from(answer(1));
        assert!(routes.deliver(&late).is_ok());
        assert_eq!(slow.queue.taken_now(), Err(Behind));
        assert!(routes.by_id.is_empty() && routes.by_token.is_empty());
        // Nobody else hears of its progress, until another call has its token.
        let mut third = open(&mut routes, &request("3"));
        assert_eq!(routes.deliver(&Bytes::from(notice.clone())), Err(Withholding::Unheard));
        assert_eq!(taken(&mut third.queue), (vec![], false));
        let mut again = open(&mut routes, &with_token("1", "1"));
        deliver(&mut routes, &notice);
        assert_eq!(taken(&mut again.queue), (vec![notice], false));
    }
}

#[test]
fn what_nobody_takes_waits_within_a_bound() {
    let mut routes = routes();
    let numbered = |n: usize| NOTICE.replace("{}", &format!("{{\"n\":{n}}}"));
    for n in 0..LINES_MAX + 3 {
        deliver(&mut routes, &numbered(n));
    }
    assert_eq!(routes.backlog.lines().len(), LINES_MAX);
    assert_eq!(routes.backlog.lines()[0], numbered(3), "the oldest go first");
    assert_eq!(routes.backlog.take_dropped(), [0, 1, 2].map(numbered));
    assert!(routes.backlog.take_dropped().is_empty());
}

#[test]
fn lines_that_are_no_messages_reach_nobody() {
    let mut routes = routes();
    let mut call = open(&mut routes, &request("1"));
    for line in ["", "hello", "{}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}", "\u{feff}{}"] {
        deliver(&mut routes, line);
    }
    assert_eq!(taken(&mut call.queue), (vec![], false));
    assert!(routes.backlog.lines().is_empty());
}

#[test]
fn the_end_of_the_program_ends_every_route() {
    let mut routes = routes();
    let mut call = open(&mut routes, &with_token("1", "1"));
    routes.end();
    assert_eq!(taken(&mut call.queue), (vec![], true));
    assert!(try_open(&mut routes, &request("2")).is_err());
}
