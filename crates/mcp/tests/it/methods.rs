//! Every method of every revision, with the target its parameters name.

use std::borrow::Cow;

use mcp::method::Sender;
use mcp::{Class, Fault, Message, Method, RequestId, Target};

use crate::{parse_one, request};

const EACH: &[&str] = &[
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "sampling/createMessage",
    "roots/list",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/message",
    "notifications/resources/updated",
    "notifications/resources/list_changed",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
];
const HANDSHAKE: &[&str] = &[
    "initialize",
    "ping",
    "resources/subscribe",
    "resources/unsubscribe",
    "logging/setLevel",
    "notifications/initialized",
    "notifications/roots/list_changed",
];
const ELICITATION: &[&str] = &["elicitation/create"];
const TASKS_2025: &[&str] = &[
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "notifications/tasks/status",
    "notifications/elicitation/complete",
];
const MODERN: &[&str] =
    &["server/discover", "subscriptions/listen", "notifications/subscriptions/acknowledged"];
const EXTENSIONS: &[&str] = &[
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "notifications/tasks",
    "skills/list",
    "skills/get",
    "resources/directory/read",
];

/// The methods of each revision, both directions, as their schemas list them.
const REVISIONS: &[(&str, &[&[&str]])] = &[
    ("2024-11-05", &[EACH, HANDSHAKE]),
    ("2025-03-26", &[EACH, HANDSHAKE]),
    ("2025-06-18", &[EACH, HANDSHAKE, ELICITATION]),
    ("2025-11-25", &[EACH, HANDSHAKE, ELICITATION, TASKS_2025]),
    ("2026-07-28", &[EACH, ELICITATION, MODERN, EXTENSIONS]),
];

#[test]
fn every_method_of_every_revision_is_known() {
    let mut seen = std::collections::BTreeSet::new();
    for (revision, groups) in REVISIONS {
        for name in groups.iter().copied().flatten() {
            let method = Method::from_name(Cow::Borrowed(name));
            assert!(method.is_known(), "{revision} {name}");
            assert_eq!(method.name(), *name);
            assert_eq!(method.is_notification(), name.starts_with("notifications/"));
            seen.insert(*name);
        }
    }
    let known: std::collections::BTreeSet<&str> =
        Method::KNOWN.iter().map(|method| method.name()).collect();
    assert_eq!(seen, known);
}

#[test]
fn names_are_compared_with_their_case() {
    for name in ["Tools/call", "tools/call ", "tools/Call", "notifications/", "tools", ""] {
        let method = Method::from_name(Cow::Borrowed(name));
        assert_eq!(method, Method::Other(Cow::Borrowed(name)));
        assert_eq!(method.class(), Class::Unknown);
        assert_eq!(method.sender(), None);
        assert_eq!(method.to_string(), name);
    }
    assert_eq!(Method::ToolsCall.into_owned(), Method::ToolsCall);
}

/// method, params, class, sender, target
type Row = (&'static str, &'static str, Class, Sender, fn(Target<'_>) -> bool);

const TARGETS: &[Row] = &[
    ("initialize", r#"{"protocolVersion":"2025-11-25"}"#, Class::Session, Sender::Client, |t| {
        t == Target::Server
    }),
    ("ping", "{}", Class::Session, Sender::Either, |t| t == Target::Server),
    ("server/discover", "{}", Class::Session, Sender::Client, |t| t == Target::Server),
    ("logging/setLevel", r#"{"level":"info"}"#, Class::Session, Sender::Client, |t| {
        t == Target::Server
    }),
    ("tools/list", r#"{"cursor":"x"}"#, Class::List, Sender::Client, |t| t == Target::Server),
    ("resources/list", "{}", Class::List, Sender::Client, |t| t == Target::Server),
    ("resources/templates/list", "{}", Class::List, Sender::Client, |t| t == Target::Server),
    ("prompts/list", "{}", Class::List, Sender::Client, |t| t == Target::Server),
    ("tasks/list", "{}", Class::List, Sender::Either, |t| t == Target::Server),
    ("skills/list", "{}", Class::List, Sender::Client, |t| t == Target::Server),
    ("tools/call", r#"{"name":"\u0078"}"#, Class::Write, Sender::Client, |t| {
        t == Target::Tool("x")
    }),
    ("prompts/get", r#"{"name":"p"}"#, Class::Read, Sender::Client, |t| t == Target::Prompt("p")),
    ("resources/read", r#"{"uri":"a:\/\/b"}"#, Class::Read, Sender::Client, |t| {
        t == Target::Resource("a://b")
    }),
    ("resources/subscribe", r#"{"uri":"a:b"}"#, Class::Subscribe, Sender::Client, |t| {
        t == Target::Resource("a:b")
    }),
    ("resources/unsubscribe", r#"{"uri":"a:b"}"#, Class::Subscribe, Sender::Client, |t| {
        t == Target::Resource("a:b")
    }),
    ("resources/directory/read", r#"{"uri":"a:b"}"#, Class::Read, Sender::Client, |t| {
        t == Target::Resource("a:b")
    }),
    ("skills/get", r#"{"uri":"skill://a"}"#, Class::Read, Sender::Client, |t| {
        t == Target::Resource("skill://a")
    }),
    (
        "completion/complete",
        r#"{"ref":{"type":"ref/prompt","name":"p"}}"#,
        Class::Read,
        Sender::Client,
        |t| t == Target::Prompt("p"),
    ),
    (
        "completion/complete",
        r#"{"ref":{"uri":"a:{b}","type":"ref/resource"}}"#,
        Class::Read,
        Sender::Client,
        |t| t == Target::ResourceTemplate("a:{b}"),
    ),
    ("tasks/get", r#"{"taskId":"t"}"#, Class::Read, Sender::Either, |t| t == Target::Task("t")),
    ("tasks/result", r#"{"taskId":"t"}"#, Class::Read, Sender::Either, |t| t == Target::Task("t")),
    ("tasks/cancel", r#"{"taskId":"t"}"#, Class::Write, Sender::Either, |t| t == Target::Task("t")),
    ("tasks/update", r#"{"taskId":"t"}"#, Class::Write, Sender::Client, |t| t == Target::Task("t")),
    (
        "subscriptions/listen",
        r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:b","\u0063:d"],"taskIds":["t"]}}"#,
        Class::Subscribe,
        Sender::Client,
        |t| matches!(t, Target::Subscription { uris, tasks } if uris == ["a:b", "c:d"] && tasks == ["t"]),
    ),
    ("subscriptions/listen", r#"{"notifications":{}}"#, Class::Subscribe, Sender::Client, |t| {
        matches!(t, Target::Subscription { uris: [], tasks: [] })
    }),
    ("sampling/createMessage", "{}", Class::Ask, Sender::Server, |t| t == Target::Client),
    ("roots/list", "{}", Class::Ask, Sender::Server, |t| t == Target::Client),
    ("elicitation/create", r#"{"message":"?"}"#, Class::Ask, Sender::Server, |t| {
        t == Target::Client
    }),
    ("notifications/initialized", "{}", Class::Session, Sender::Client, |t| t == Target::None),
    ("notifications/cancelled", r#"{"requestId":7}"#, Class::Session, Sender::Either, |t| {
        t == Target::Call(&RequestId::from(7))
    }),
    ("notifications/cancelled", "{}", Class::Session, Sender::Either, |t| t == Target::None),
    ("notifications/progress", r#"{"progressToken":"x"}"#, Class::Notice, Sender::Either, |t| {
        t == Target::None
    }),
    ("notifications/message", "{}", Class::Notice, Sender::Server, |t| t == Target::None),
    ("notifications/roots/list_changed", "{}", Class::Notice, Sender::Client, |t| {
        t == Target::None
    }),
    ("notifications/resources/updated", r#"{"uri":"a:b"}"#, Class::Notice, Sender::Server, |t| {
        t == Target::Resource("a:b")
    }),
    ("notifications/resources/list_changed", "{}", Class::Notice, Sender::Server, |t| {
        t == Target::None
    }),
    ("notifications/tools/list_changed", "{}", Class::Notice, Sender::Server, |t| {
        t == Target::None
    }),
    ("notifications/prompts/list_changed", "{}", Class::Notice, Sender::Server, |t| {
        t == Target::None
    }),
    ("notifications/elicitation/complete", "{}", Class::Notice, Sender::Server, |t| {
        t == Target::Client
    }),
    ("notifications/tasks/status", r#"{"taskId":"t"}"#, Class::Notice, Sender::Either, |t| {
        t == Target::Task("t")
    }),
    ("notifications/tasks", r#"{"taskId":"t"}"#, Class::Notice, Sender::Server, |t| {
        t == Target::Task("t")
    }),
    (
        "notifications/subscriptions/acknowledged",
        r#"{"notifications":{"resourceSubscriptions":["a:b"]}}"#,
        Class::Notice,
        Sender::Server,
        |t| matches!(t, Target::Subscription { uris, tasks: [] } if uris == ["a:b"]),
    ),
];

#[test]
fn every_method_has_its_class_its_sender_and_its_target() {
    let mut covered = std::collections::BTreeSet::new();
    for (name, params, class, sender, is_expected) in TARGETS {
        let mut body = request(name, params);
        if name.starts_with("notifications/") {
            body = body.replace("\"id\":1,", "");
        }
        let message = parse_one(&body).unwrap();
        let method = message.method().unwrap();
        assert_eq!(method.name(), *name);
        assert_eq!(method.class(), *class, "{name}");
        assert_eq!(method.sender(), Some(*sender), "{name}");
        let target = message.target().unwrap();
        assert!(is_expected(target), "{name} {target:?}");
        covered.insert(*name);
    }
    assert_eq!(covered.len(), Method::KNOWN.len());
}

#[test]
fn a_target_that_is_not_named_is_refused() {
    let named = [
        ("tools/call", "params.name"),
        ("prompts/get", "params.name"),
        ("resources/read", "params.uri"),
        ("resources/subscribe", "params.uri"),
        ("resources/unsubscribe", "params.uri"),
        ("resources/directory/read", "params.uri"),
        ("skills/get", "params.uri"),
        ("tasks/get", "params.taskId"),
        ("tasks/result", "params.taskId"),
        ("tasks/cancel", "params.taskId"),
        ("tasks/update", "params.taskId"),
        ("completion/complete", "params.ref"),
        ("subscriptions/listen", "params.notifications"),
    ];
    for (method, field) in named {
        for body in [
            request(method, "{}"),
            request(method, r#"{"unrelated":1}"#),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#),
        ] {
            let malformed = parse_one(&body).unwrap_err();
            assert_eq!(malformed.fault(), Fault::Missing { field }, "{body}");
        }
    }
    let body = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{}}"#;
    assert_eq!(parse_one(body).unwrap_err().fault(), Fault::Missing { field: "params.uri" });
}

/// 2026-07-28 has no subscriptions by these methods: that is for the server to say.
#[test]
fn what_a_revision_has_no_more_need_not_name_its_target() {
    let meta = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"VERSION"}}"#;
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        let body = request(method, &meta.replace("VERSION", "2026-07-28"));
        assert_eq!(parse_one(&body).unwrap().target(), Ok(Target::Server), "{body}");
        let body = request(method, &meta.replace("VERSION", "2025-11-25"));
        let fault = parse_one(&body).unwrap_err().fault();
        assert_eq!(fault, Fault::Missing { field: "params.uri" }, "{body}");
    }
    let body = request("resources/read", &meta.replace("VERSION", "2026-07-28"));
    assert_eq!(parse_one(&body).unwrap_err().fault(), Fault::Missing { field: "params.uri" });
}

#[test]
fn unknown_methods_are_read_as_either_kind() {
    let body = request("vendor/run", r#"{"name":{"first":"a"},"uri":7}"#);
    let Ok(Message::Request(call)) = parse_one(&body) else { panic!("a request") };
    assert_eq!(call.method, Method::Other(Cow::Borrowed("vendor/run")));
    assert_eq!((call.params.name, call.params.uri), (None, None));
    let body = r#"{"jsonrpc":"2.0","method":"vendor/heard"}"#;
    let Ok(message @ Message::Notification(_)) = parse_one(body) else { panic!("a notification") };
    assert_eq!(message.target(), Ok(Target::None));
}
