//! Messages that are valid and odd: what a program which reads and writes again would change is in them.
//! It knows no transport.

use crate::messages::META;
use proptest::prelude::*;
use proptest::sample::select;

/// Everything that is said about one call.
#[derive(Debug, Clone)]
pub(super) struct Dialogue {
    pub(super) request: String,
    /// The server tells, then asks; the client answers that, and tells something of its own.
    pub(super) note: String,
    pub(super) question: String,
    pub(super) reply: String,
    pub(super) told: String,
    pub(super) answer: String,
    /// Whether anything is said between the request and its answer.
    pub(super) chatty: bool,
    /// Where a server can choose: on its own stream rather than on that of the call.
    pub(super) aside: bool,
    /// Where a server can choose: the answer as one body rather than as an event.
    pub(super) whole: bool,
}

/// The era of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    Sessions,
    Stateless,
}

/// White space between tokens.
fn blank() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\t", "  ", "\n", "\r\n", "\r", " \n\t", "\n\n"])
}

/// Numbers in forms that a program which reads and writes again would change.
fn number() -> impl Strategy<Value = String> {
    let odd = [
        "0",
        "-0",
        "1.0",
        "1.10",
        "1e2",
        "1E+2",
        "1e-7",
        "0.1e1",
        "12345678901234567890",
        "-9223372036854775809",
        "3.141592653589793238462643383279",
        "1e400",
        "-1E-400",
    ];
    prop_oneof![
        select(odd.to_vec()).prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string())
    ]
}

/// The inside of a string: plain, escaped without need, and beyond the first plane.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "a",
        "b c",
        "\\u0061",
        "\\/",
        "/",
        "\\\\",
        "\\\"",
        "\\n",
        "\\u000a",
        "\\u0000",
        "é",
        "e\u{301}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{2026}",
        "\u{feff}",
        "\u{7f}",
        "😀",
        "\\ud83d\\ude00",
        "\\uD83D\\uDE00",
        "日本",
        "<script>",
        "data: x",
        "__proto__",
    ];
    prop::collection::vec(select(odd.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

/// Members in any order; keys are told apart by a number, so that none is there twice.
fn object(members: Vec<(String, String)>, blank: &str) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{blank}\"{key}\"{blank}:{blank}{value}{blank}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value() -> impl Strategy<Value = String> {
    let literal = select(vec!["null", "true", "false", "[]", "{}"]).prop_map(str::to_owned);
    let deep =
        (1_usize..80).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let text = text().prop_map(|text| format!("\"{text}\""));
    let leaf = prop_oneof![4 => number(), 4 => text, 2 => literal, 1 => deep];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let items = prop::collection::vec(inner, 0..5);
        prop_oneof![
            (items.clone(), blank()).prop_map(|(items, blank)| format!(
                "[{blank}{}{blank}]",
                items.join(&format!("{blank},"))
            )),
            (items, blank()).prop_flat_map(
                |(items, blank)| unknown(items).prop_map(move |members| object(members, blank))
            ),
        ]
    })
}

/// Members of names that nobody knows.
fn unknown(values: Vec<String>) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(text(), values.len()).prop_map(move |names| {
        let numbered = names.into_iter().enumerate();
        numbered
            .zip(values.clone())
            .map(|((i, name), value)| (format!("{i}{name}"), value))
            .collect()
    })
}

/// An object of these members and of some that nobody knows, in any order.
fn open(known: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let more = prop::collection::vec(value(), 0..4).prop_flat_map(unknown);
    (more, blank()).prop_flat_map(move |(more, blank)| {
        let known = known.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let members: Vec<_> = known.chain(more).collect();
        Just(members).prop_shuffle().prop_map(move |members| object(members, blank))
    })
}

/// An id, as the one who asks spells it and as the one who answers does.
fn id() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        any::<i32>().prop_map(|n| (n.to_string(), n.to_string())),
        "[a-z]{1,8}".prop_map(|id| (format!("\"{id}\""), format!("\"{id}\""))),
        ("[a-z]", "[A-Z/ ]{0,4}").prop_map(|(first, rest)| {
            let code = first.chars().map(u32::from).sum::<u32>();
            (format!("\"\\u{code:04x}{rest}\""), format!("\"{first}{}\"", rest.replace('/', "\\/")))
        }),
    ]
}

/// A message of these members and of some that nobody knows, with white space around it.
pub(super) fn message(known: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let version = ("jsonrpc", "\"2.0\"".to_owned());
    let all = std::iter::once(version).chain(known).collect();
    (blank(), open(all), blank()).prop_map(|(before, text, after)| format!("{before}{text}{after}"))
}

/// A notification of this method.
pub(super) fn notification(method: &'static str) -> impl Strategy<Value = String> {
    open(vec![]).prop_flat_map(move |params| {
        message(vec![("method", format!("\"{method}\"")), ("params", params)])
    })
}

/// A request of one of these methods, by this id.
fn request(methods: Vec<&'static str>, id: String) -> impl Strategy<Value = String> {
    (select(methods), open(vec![])).prop_flat_map(move |(method, params)| {
        let method = ("method", format!("\"{method}\""));
        message(vec![method, ("id", id.clone()), ("params", params)])
    })
}

/// The call of a tool, by this id.
fn call(id: String, era: Era) -> impl Strategy<Value = String> {
    let name = select(vec!["\"echo\"", "\"ec\\u0068o\"", "\"\\u0065cho\""]);
    let params = (value(), name).prop_flat_map(move |(value, name)| {
        let arguments = ("arguments", format!("{{\"a\":{value}}}"));
        let mut known = vec![("name", name.to_owned()), arguments];
        if era == Era::Stateless {
            let (_, meta) = META.split_once(':').unwrap_or_default();
            known.push(("_meta", meta.to_owned()));
        }
        open(known)
    });
    params.prop_flat_map(move |params| {
        let method = ("method", "\"tools/call\"".to_owned());
        message(vec![method, ("id", id.clone()), ("params", params)])
    })
}

/// The result of a request, or an error.
fn outcome(id: String) -> impl Strategy<Value = String> {
    let content = prop::collection::vec(value(), 0..4);
    let result = content.prop_flat_map(|values| {
        open(vec![("content", format!("[{}]", values.join(",")))]).prop_map(|text| ("result", text))
    });
    let error = (-32_050_i32..-32_030, text()).prop_flat_map(|(code, text)| {
        let known = vec![("code", code.to_string()), ("message", format!("\"{text}\""))];
        open(known).prop_map(|text| ("error", text))
    });
    prop_oneof![3 => result.boxed(), 1 => error.boxed()]
        .prop_flat_map(move |outcome| message(vec![("id", id.clone()), outcome]))
}

/// A call, and the answer to it.
pub(super) fn exchange(era: Era) -> impl Strategy<Value = (String, String)> {
    id().prop_flat_map(move |(asked, answered)| (call(asked, era), outcome(answered)))
}

/// A call and everything that is said about it.
pub(super) fn dialogue(era: Era) -> impl Strategy<Value = Dialogue> {
    let asks = vec!["roots/list", "elicitation/create", "ping", "x/unknown"];
    let question = id()
        .prop_flat_map(move |(asked, answered)| (request(asks.clone(), asked), outcome(answered)));
    let tells = (notification("notifications/message"), notification("notifications/x"));
    let choices = (any::<bool>(), any::<bool>(), any::<bool>());
    (exchange(era), question, tells, choices).prop_map(|(exchange, question, tells, choices)| {
        let (request, answer) = exchange;
        let (question, reply) = question;
        let (note, told) = tells;
        let (chatty, aside, whole) = choices;
        Dialogue { request, note, question, reply, told, answer, chatty, aside, whole }
    })
}
