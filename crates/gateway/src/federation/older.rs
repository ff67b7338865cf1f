//! A request of a stateless revision in the words of the older ones, and what comes back in those of the
//! client. Changes what the eras say differently and nothing else; sends nothing.

use super::rewrite::{META, PARAMS, RESULT, change};
use bytes::Bytes;
use http::StatusCode;
use mcp::edit::{Edit, Step, find, quoted};
use mcp::{Frame, Message, Method, Outcome, Request, RequestId};

/// A request that a member of the older revisions is asked for a client of a stateless one.
#[derive(Debug, Clone)]
pub(super) struct Older {
    /// The client's id of it.
    id: RequestId,
    /// Its id in the session that is held with the member, where requests of several clients meet. Also
    /// the token by which the member tells its progress.
    pub(super) own: RequestId,
    /// The client's own token for that.
    token: Option<RequestId>,
    /// The least log level that the client wants to hear.
    pub(super) level: Option<Level>,
    /// Results must say how long they may be kept.
    is_cacheable: bool,
}

/// What a message of the member means for the client of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is told this.
    Notice(Bytes),
    /// This is its answer, and the HTTP status of that.
    Answer(Bytes, StatusCode),
    /// The member asks something; this is what it is told.
    Question(Bytes),
    /// Nothing.
    Nothing,
}

/// A log level (RFC 5424), the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

impl Level {
    pub(super) fn of(name: &str) -> Option<Self> {
        LEVELS.iter().position(|level| *level == name).map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        LEVELS.get(self.0).copied().unwrap_or_default()
    }
}

impl Older {
    /// `Err` says what the older revisions have nothing for.
    pub(super) fn of(request: &Request<'_>, own: RequestId) -> Result<Self, &'static str> {
        let params = &request.params;
        match request.method {
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => return Err(TASKS),
            _ if params.request_state.is_some() || params.input_responses.is_some() => {
                return Err(ROUNDS);
            }
            _ => {}
        }
        let meta = params.meta.as_ref();
        let is_cacheable = matches!(
            request.method,
            Method::ToolsList
                | Method::PromptsList
                | Method::ResourcesList
                | Method::ResourcesTemplatesList
                | Method::ResourcesRead
                | Method::SkillsList
                | Method::SkillsGet
        );
        Ok(Self {
            id: request.id.clone(),
            own,
            token: meta.and_then(|meta| meta.progress_token.clone()),
            level: meta.and_then(|meta| Level::of(meta.log_level.as_deref()?)),
            is_cacheable,
        })
    }

    /// The id by which the client knows it.
    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// A message of the gateway about this request, such as a refusal, as the client gets it.
    pub(super) fn named(&self, message: &[u8]) -> Option<Bytes> {
        let id = self.id.to_string();
        change(message, &[Step::Key("id")], |_| Some(id.clone()))
    }

    /// The request as the member gets it.
    pub(super) fn request(&self, body: &[u8]) -> Option<Bytes> {
        let mut edit = Edit::new(body).ok()?;
        let own = self.own.to_string();
        edit.replace(&[Step::Key("id")], &own).ok()?;
        edit.replace(&[PARAMS, META, TOKEN], &own).ok()?;
        let mut out = edit.finish().ok()?;
        for key in OF_REQUESTS {
            let mut edit = Edit::new(&out).ok()?;
            edit.remove(&[PARAMS, META], key).ok()?;
            out = edit.finish().ok()?;
        }
        Some(out.into())
    }

    /// What a message on the stream that answers the request means.
    pub(super) fn heard(&self, message: &Bytes) -> Heard {
        let Ok(Frame::Single(read)) = mcp::parse(message, &mcp::Limits::for_replies()) else {
            return Heard::Nothing;
        };
        match &read {
            Message::Response(response) if response.id.as_ref() == Some(&self.own) => {
                self.answer(message, &response.outcome)
            }
            Message::Response(_) => Heard::Nothing,
            Message::Request(question) => Heard::Question(reply_to(question)),
            Message::Notification(notice) => match &notice.method {
                Method::NotificationsProgress => {
                    let ours = notice.params.progress_token.as_ref() == Some(&self.own);
                    let token = self.token.as_ref().filter(|_| ours).map(ToString::to_string);
                    let told = token.and_then(|token| {
                        change(message, &[PARAMS, TOKEN], |_| Some(token.clone()))
                    });
                    told.map_or(Heard::Nothing, Heard::Notice)
                }
                Method::NotificationsMessage => {
                    let severe = self.level.is_some_and(|least| Some(least) <= level_of(message));
                    if severe { Heard::Notice(message.clone()) } else { Heard::Nothing }
                }
                method if is_for_listeners(method) => Heard::Nothing,
                _ => Heard::Notice(message.clone()),
            },
        }
    }

    fn answer(&self, message: &Bytes, outcome: &Outcome<'_>) -> Heard {
        let Some(named) = self.named(message) else { return Heard::Nothing };
        if let Outcome::Error { code } = outcome {
            let (code, status) = modern_code(*code);
            let path = [Step::Key("error"), Step::Key("code")];
            let coded = change(&named, &path, |_| Some(code.to_string())).unwrap_or(named);
            return Heard::Answer(coded, status);
        }
        let mut out = with_member(&named, "resultType", r#""complete""#);
        if self.is_cacheable {
            out = with_member(&out, "ttlMs", "0");
            out = with_member(&out, "cacheScope", r#""private""#);
        }
        Heard::Answer(out, StatusCode::OK)
    }
}

/// What a member that speaks for itself is told by the gateway, which cannot ask the client: it declared
/// no capability by which servers may.
pub(super) fn reply_to(question: &Request<'_>) -> Bytes {
    if question.method == Method::Ping {
        let nothing = serde_json::value::RawValue::from_string("{}".to_owned());
        return Bytes::from(mcp::build::result_response(
            &question.id,
            &nothing.unwrap_or_default(),
        ));
    }
    let text =
        "the client of this request cannot be asked: its revision has no requests of servers";
    let code = mcp::code::METHOD_NOT_FOUND;
    Bytes::from(mcp::build::error_response(Some(&question.id), code, text, None))
}

/// What concerns those who listen, and never the client of one request.
pub(super) fn is_for_listeners(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::NotificationsToolsListChanged
            | Method::NotificationsPromptsListChanged
            | Method::NotificationsResourcesListChanged
            | Method::NotificationsResourcesUpdated
            | Method::NotificationsCancelled
            | Method::NotificationsElicitationComplete
            | Method::NotificationsTasksStatus
    )
}

/// What a server says of its capabilities, as far as the other era has the same: tasks are two things.
pub(super) fn capabilities(of: &serde_json::Value) -> serde_json::Value {
    let mut out = of.clone();
    if let Some(members) = out.as_object_mut() {
        members.remove("tasks");
    }
    if let Some(extensions) = out.get_mut("extensions").and_then(|e| e.as_object_mut()) {
        extensions.remove("io.modelcontextprotocol/tasks");
    }
    out
}

fn level_of(message: &[u8]) -> Option<Level> {
    let found = find(message, &[PARAMS, Step::Key("level")]).ok()?;
    Level::of(&serde_json::from_str::<String>(found.first()?.raw).ok()?)
}

/// A result with this member, unless it says itself what stands there.
fn with_member(message: &Bytes, key: &str, value: &str) -> Bytes {
    let added = || {
        let mut edit = Edit::new(message).ok()?;
        edit.insert(&[RESULT], key, value).ok()?;
        edit.finish().ok().map(Bytes::from)
    };
    added().unwrap_or_else(|| message.clone())
}

/// The code that 2026-07-28 has for an error of an older revision, and its HTTP status (changelog,
/// "error codes"): a resource that is not there is a bad parameter, and no URL can be elicited this way.
fn modern_code(code: i64) -> (i64, StatusCode) {
    match code {
        mcp::code::METHOD_NOT_FOUND => (code, StatusCode::NOT_FOUND),
        RESOURCE_NOT_FOUND => (mcp::code::INVALID_PARAMS, StatusCode::OK),
        URL_ELICITATION => (mcp::code::INTERNAL_ERROR, StatusCode::OK),
        other => (other, StatusCode::OK),
    }
}

/// The text of an initialisation by the gateway itself. It declares nothing that servers may ask for.
pub(super) fn opening(gateway: &str) -> Bytes {
    let (name, version) = (quoted(gateway), quoted(env!("CARGO_PKG_VERSION")));
    let revision = quoted(mcp::Revision::V2025_11_25.name());
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":{revision},"capabilities":{{}},"clientInfo":{{"name":{name},"version":{version}}}}}}}"#
    ))
}

const TASKS: &str = "the tasks of this server are those of an older revision: it cannot be asked for \
                     them in this one";
const ROUNDS: &str =
    "this server speaks an older revision and never asked for input: leave `requestState` out";
const TOKEN: Step<'static> = Step::Key("progressToken");
/// `_meta` that only requests of stateless revisions carry.
const OF_REQUESTS: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
const RESOURCE_NOT_FOUND: i64 = -32_002;
const URL_ELICITATION: i64 = -32_042;

#[cfg(test)]
mod tests {
    use super::{Heard, Level, Older, capabilities};
    use bytes::Bytes;
    use http::StatusCode;
    use mcp::{Frame, Message, RequestId};
    use serde_json::json;

    fn older(body: &str) -> Result<Older, &'static str> {
        let frame = mcp::parse(body.as_bytes(), &mcp::Limits::default()).unwrap();
        let Frame::Single(Message::Request(request)) = frame else { panic!("{body}") };
        Older::of(&request, RequestId::from(41))
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t","arguments":{"n":1.00},"_meta":{"x/y":1,"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"warning"}}}"#;

    #[test]
    fn a_request_loses_what_only_its_era_has() {
        let out = older(CALL).unwrap().request(CALL.as_bytes()).unwrap();
        let wanted = r#"{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"name":"t","arguments":{"n":1.00},"_meta":{"x/y":1,"progressToken":41}}}"#;
        assert_eq!(out, wanted);
        let plain = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let out = older(plain).unwrap().request(plain.as_bytes()).unwrap();
        assert_eq!(out, r#"{"jsonrpc":"2.0","id":41,"method":"ping"}"#);
    }

    #[test]
    fn what_the_older_era_has_not_is_refused() {
        for (method, params) in [
            ("tasks/get", r#""taskId":"7""#),
            ("tasks/cancel", r#""taskId":"7""#),
            ("tools/call", r#""name":"t","requestState":"s""#),
            ("tools/call", r#""name":"t","inputResponses":{}"#),
        ] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
            older(&body).unwrap_err();
        }
    }

    #[test]
    fn answers_get_the_id_and_the_form_of_the_client() {
        let call = older(CALL).unwrap();
        let heard = |text: &'static str| call.heard(&Bytes::from_static(text.as_bytes()));
        for (said, status, wanted) in [
            (
                r#"{"jsonrpc":"2.0","id":41,"result":{"content":[],"n":1.0}}"#,
                StatusCode::OK,
                r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","content":[],"n":1.0}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":41,"error":{"code":-32002,"message":"m"}}"#,
                StatusCode::OK,
                r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32602,"message":"m"}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":41,"error":{"code":-32601,"message":"m"}}"#,
                StatusCode::NOT_FOUND,
                r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"m"}}"#,
            ),
        ] {
            assert_eq!(heard(said), Heard::Answer(Bytes::from_static(wanted.as_bytes()), status));
        }
        assert_eq!(heard(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), Heard::Nothing);
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let said = r#"{"jsonrpc":"2.0","id":41,"result":{"tools":[],"ttlMs":5}}"#;
        let Heard::Answer(answer, _) = older(list).unwrap().heard(&Bytes::from(said)) else {
            panic!("no answer")
        };
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let wanted =
            json!({"tools": [], "ttlMs": 5, "cacheScope": "private", "resultType": "complete"});
        assert_eq!(answer["result"], wanted);
    }

    #[test]
    fn a_client_hears_of_its_own_request_only() {
        let call = older(CALL).unwrap();
        let notice = |method: &str, params: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#);
            match call.heard(&Bytes::from(text)) {
                Heard::Notice(told) => Some(String::from_utf8(told.to_vec()).unwrap()),
                other => {
                    assert_eq!(other, Heard::Nothing);
                    None
                }
            }
        };
        let progress = "notifications/progress";
        let told = notice(progress, r#""progressToken":41,"progress":1"#).unwrap();
        assert!(told.contains(r#""progressToken":"p","progress":1"#), "{told}");
        assert_eq!(notice(progress, r#""progressToken":"p","progress":1"#), None);
        let message = "notifications/message";
        assert!(notice(message, r#""level":"error","data":1"#).is_some());
        assert_eq!(notice(message, r#""level":"info","data":1"#), None);
        assert_eq!(notice(message, r#""data":1"#), None);
        assert_eq!(notice("notifications/tools/list_changed", ""), None);
        assert!(notice("vendor/thing", "").is_some());
    }

    #[test]
    fn members_that_ask_are_told_that_nobody_can_be() {
        let call = older(CALL).unwrap();
        let ask = |method: &str| -> serde_json::Value {
            let text = format!(r#"{{"jsonrpc":"2.0","id":3,"method":"{method}","params":{{}}}}"#);
            match call.heard(&Bytes::from(text)) {
                Heard::Question(reply) => serde_json::from_slice(&reply).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ask("ping"), json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
        assert_eq!(ask("roots/list")["error"]["code"], -32601);
    }

    #[test]
    fn levels_have_an_order() {
        assert!(Level::of("debug") < Level::of("emergency"));
        assert_eq!(Level::of("loud"), None);
        assert_eq!(Level::of("notice").unwrap().name(), "notice");
    }

    #[test]
    fn tasks_of_one_era_are_no_capability_in_the_other() {
        let of = json!({"tools": {}, "tasks": {}, "extensions":
            {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/skills": {}}});
        let wanted = json!({"tools": {}, "extensions": {"io.modelcontextprotocol/skills": {}}});
        assert_eq!(capabilities(&of), wanted);
    }
}
