//! A request of a session in the words of the stateless revision, and what its answer asks of the client.
//! Changes what the eras say differently and nothing else; sends nothing.

use super::older::capabilities;
use super::rewrite::{META, PARAMS, change};
use super::session::Opening;
use bytes::Bytes;
use mcp::edit::{Edit, Step, find, quoted};
use mcp::reply::ResultType;
use mcp::{Frame, Message, Method, Outcome, Request, RequestId, Revision};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What requests to stateless members say of the client of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newer {
    /// `clientInfo`, as it was sent.
    client: Option<String>,
    /// What the client may be asked for, of what both eras have.
    capabilities: String,
    /// The log level that it wants to hear.
    level: Option<&'static str>,
}

/// What an answer wants before it goes on.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) requests: BTreeMap<String, Asking>,
    /// `requestState`, as it was sent.
    pub(super) state: Option<String>,
}

/// A request of the server to the client, within an answer.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Asking {
    pub(super) method: String,
    pub(super) params: Option<Box<RawValue>>,
}

impl Newer {
    pub(super) fn of(opening: &Opening, level: Option<&'static str>) -> Self {
        let at = |path: &[Step<'_>]| {
            let found = find(&opening.body, path).ok()?;
            found.first().map(|value| value.raw.to_owned())
        };
        let declared = at(&[PARAMS, Step::Key("capabilities")]);
        let declared: Value =
            declared.and_then(|raw| serde_json::from_str(&raw).ok()).unwrap_or_default();
        let kept = ASKABLE.iter().filter_map(|key| Some((*key, declared.get(key)?.clone())));
        let kept: serde_json::Map<String, Value> =
            kept.map(|(key, value)| (key.to_owned(), value)).collect();
        Self {
            client: at(&[PARAMS, Step::Key("clientInfo")]),
            capabilities: Value::Object(kept).to_string(),
            level,
        }
    }

    /// `Err` says what the stateless revision has nothing for.
    pub(super) fn check(request: &Request<'_>) -> Result<(), &'static str> {
        match request.method {
            Method::TasksGet
            | Method::TasksResult
            | Method::TasksCancel
            | Method::TasksList
            | Method::TasksUpdate => Err(TASKS),
            _ if request.params.task.is_some() => Err(TASKS),
            _ => Ok(()),
        }
    }

    /// The request as the member gets it, with this id.
    pub(super) fn request(&self, body: &Bytes, id: &RequestId, revision: &str) -> Option<Bytes> {
        let id = id.to_string();
        let mut out = change(body, &[Step::Key("id")], |_| Some(id.clone()))?;
        out = with(&out, &[], "params", "{}")?;
        out = with(&out, &[PARAMS], "_meta", "{}")?;
        if let Some(level) = self.level {
            out = with(&out, META_OF, "io.modelcontextprotocol/logLevel", &quoted(level))?;
        }
        if let Some(client) = &self.client {
            out = with(&out, META_OF, "io.modelcontextprotocol/clientInfo", client)?;
        }
        let capabilities = &self.capabilities;
        out = with(&out, META_OF, "io.modelcontextprotocol/clientCapabilities", capabilities)?;
        with(&out, META_OF, "io.modelcontextprotocol/protocolVersion", &quoted(revision))
    }
}

/// The request again, with the answers to what was wanted (2026-07-28, multi round-trip).
pub(super) fn next_round(
    body: &Bytes,
    answers: &BTreeMap<String, Box<RawValue>>,
    state: Option<&str>,
) -> Option<Bytes> {
    let mut out = body.clone();
    if let Some(state) = state {
        out = with(&out, &[PARAMS], "requestState", state)?;
    }
    if answers.is_empty() {
        return Some(out);
    }
    with(&out, &[PARAMS], "inputResponses", &serde_json::to_string(answers).ok()?)
}

/// What an answer wants of the client; `None` for any other answer. `Err` when it cannot be read, or wants
/// what servers may not ask for.
pub(super) fn wanted(message: &[u8]) -> Option<Result<Wanted, &'static str>> {
    let frame = mcp::parse(message, &mcp::Limits::for_replies()).ok()?;
    let Frame::Single(Message::Response(response)) = frame else { return None };
    let Outcome::Result(result) = response.outcome else { return None };
    match result.result_type {
        ResultType::InputRequired => {}
        ResultType::Task => return Some(Err(TASKS)),
        ResultType::Complete | ResultType::Other => return None,
    }
    let at = |key| {
        let found = find(result.raw.as_bytes(), &[Step::Key(key)]).ok()?;
        found.first().map(|value| value.raw.to_owned())
    };
    let requests = at("inputRequests").unwrap_or_else(|| "{}".to_owned());
    let Ok(requests) = serde_json::from_str::<BTreeMap<String, Asking>>(&requests) else {
        return Some(Err(UNREADABLE));
    };
    if requests.values().any(|asking| !MAY_ASK.contains(&asking.method.as_str())) {
        return Some(Err(UNREADABLE));
    }
    Some(Ok(Wanted { requests, state: at("requestState") }))
}

impl Asking {
    /// The request as a client of a session gets it.
    pub(super) fn message(&self, id: &RequestId) -> Bytes {
        let method = quoted(&self.method);
        let params = self.params.as_ref();
        let params = params.map(|raw| format!(r#","params":{}"#, raw.get())).unwrap_or_default();
        Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method}{params}}}"#))
    }
}

/// The result of a client's answer; `None` when it is an error.
pub(super) fn result_of(answer: &[u8]) -> Option<Box<RawValue>> {
    let found = find(answer, &[super::rewrite::RESULT]).ok()?;
    RawValue::from_string(found.first()?.raw.to_owned()).ok()
}

/// What a member says of itself to `server/discover`, as an answer to `initialize` would.
pub(super) fn about(discovered: &Value) -> Value {
    json!({
        "capabilities": capabilities(&discovered["capabilities"]),
        "instructions": discovered["instructions"],
    })
}

/// The stateless revision that a member is spoken to in.
pub(super) fn revision(discovered: &Value) -> Option<String> {
    let versions = discovered["supportedVersions"].as_array()?;
    let mut modern: Vec<Revision> = versions
        .iter()
        .filter_map(|version| Some(Revision::from_name(version.as_str()?)))
        .filter(Revision::is_modern)
        .collect();
    // The one that the gateway knows, if it may choose.
    modern.sort_by_key(|revision| !revision.is_known());
    modern.first().map(|revision| revision.name().to_owned())
}

/// An object with this member, unless it has one of this name.
fn with(message: &Bytes, path: &[Step<'_>], key: &str, value: &str) -> Option<Bytes> {
    let mut edit = Edit::new(message).ok()?;
    edit.insert(path, key, value).ok()?;
    edit.finish().ok().map(Bytes::from)
}

const META_OF: &[Step<'static>] = &[PARAMS, META];
const ASKABLE: [&str; 3] = ["elicitation", "roots", "sampling"];
const MAY_ASK: [&str; 3] = ["elicitation/create", "roots/list", "sampling/createMessage"];
const TASKS: &str = "the tasks of this server are those of a later revision: it cannot be asked for \
                     them in this one";
const UNREADABLE: &str = "the server wants input that clients of this revision cannot give";

#[cfg(test)]
mod tests {
    use super::{Newer, about, next_round, revision, wanted};
    use crate::federation::session::Opening;
    use bytes::Bytes;
    use http::HeaderMap;
    use mcp::RequestId;
    use serde_json::json;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    fn newer() -> Newer {
        let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"tasks":{},"experimental":{}},"clientInfo":{"name":"c","version":"1"}}}"#;
        let opening = Opening { headers: HeaderMap::new(), body: Bytes::from(body), own: false };
        Newer::of(&opening, Some("error"))
    }

    #[test]
    fn a_request_says_itself_what_its_session_knows() {
        for (body, rest) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, json!({})),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"a"}}"#,
                json!({"cursor": "a"}),
            ),
        ] {
            let id = RequestId::from(9);
            let out = newer().request(&Bytes::from(body), &id, "2026-07-28").unwrap();
            let mut out: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(out["id"], 9);
            let meta = out["params"].as_object_mut().unwrap().remove("_meta").unwrap();
            let wanted = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"roots": {"listChanged": true}},
                "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
                "io.modelcontextprotocol/logLevel": "error"});
            assert_eq!((meta, &out["params"]), (wanted, &rest));
        }
        let body = Bytes::from(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"n":1.00},"_meta":{"progressToken":3}}}"#,
        );
        let out = newer().request(&body, &RequestId::from(9), "2026-07-28").unwrap();
        let out = String::from_utf8(out.to_vec()).unwrap();
        assert!(out.contains(r#""n":1.00"#) && out.contains(r#""progressToken":3"#), "{out}");
    }

    #[test]
    fn what_is_wanted_becomes_requests_and_another_round() {
        let message = br#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"n":1.00}},"b":{"method":"roots/list"}},"requestState":"s\u0041"}}"#;
        let wants = wanted(message).unwrap().unwrap();
        let id = RequestId::text("crm:1");
        assert_eq!(
            wants.requests["a"].message(&id),
            r#"{"jsonrpc":"2.0","id":"crm:1","method":"elicitation/create","params":{"n":1.00}}"#
        );
        let roots = r#"{"jsonrpc":"2.0","id":"crm:1","method":"roots/list"}"#;
        assert_eq!(wants.requests["b"].message(&id), roots);
        let body = Bytes::from(r#"{"id":1,"params":{"name":"t"}}"#);
        let answers = BTreeMap::from([(
            "b".to_owned(),
            RawValue::from_string(r#"{"roots":[]}"#.to_owned()).unwrap(),
        )]);
        let next = next_round(&body, &answers, wants.state.as_deref()).unwrap();
        let wanted = r#"{"id":1,"params":{"inputResponses":{"b":{"roots":[]}},"requestState":"s\u0041","name":"t"}}"#;
        assert_eq!(next, wanted);
    }

    #[test]
    fn other_answers_want_nothing_and_some_cannot_be_given() {
        for message in [
            r#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"complete"}}"#,
            r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"m"}}"#,
        ] {
            assert!(wanted(message.as_bytes()).is_none(), "{message}");
        }
        for message in [
            r#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"task","taskId":"7","status":"working"}}"#,
            r#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"tools/call"}}}}"#,
        ] {
            wanted(message.as_bytes()).unwrap().unwrap_err();
        }
    }

    #[test]
    fn a_known_revision_is_chosen() {
        let of = |versions: serde_json::Value| revision(&json!({"supportedVersions": versions}));
        assert_eq!(of(json!(["2027-01-01", "2026-07-28"])).as_deref(), Some("2026-07-28"));
        assert_eq!(of(json!(["2027-01-01"])).as_deref(), Some("2027-01-01"));
        assert_eq!(of(json!(["2025-11-25"])), None);
        let said = json!({"capabilities": {"tools": {}}, "instructions": "i", "ttlMs": 1});
        assert_eq!(about(&said), json!({"capabilities": {"tools": {}}, "instructions": "i"}));
    }
}
