//! A program on standard input and output, wrapped: lines in and out through pipes in memory.

use crate::messages::code;
use crate::rig::{POLICY, close, engine, log_config, place, sh};
use crate::trail::{self, Trail};
use crate::within;
use audit::{Clock, Recorder};
use event::{Actor, ActorKind, Direction, Level, Status, Transport};
use gateway::config::{AnswerDurability, Limits};
use gateway::{SpawnError, WrapEnd, WrapParts, wrap};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tlog::storage::Files;
use tlog::{Log, Signer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A wrapped program and its client's end of the pipes.
pub(crate) struct Wrapped {
    /// `None` when the client has closed its side.
    input: Option<DuplexStream>,
    output: BufReader<DuplexStream>,
    stop: CancellationToken,
    running: JoinHandle<Result<WrapEnd, SpawnError>>,
    log: Log,
    recorder: Recorder,
    directory: TempDir,
}

impl Wrapped {
    pub(crate) fn start(script: &str) -> Self {
        Self::start_with(script, Limits::default())
    }

    fn start_with(script: &str, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (signer, _) = Signer::generate("example.com/log").unwrap();
        let storage = Arc::new(Files::new(&directory.path().join("log")));
        let log = Log::create_on(storage, signer, log_config(clock, 0)).unwrap();
        let recorder = Recorder::new(log.clone(), place(), clock);
        let parts = WrapParts {
            definitions: crate::rig::definitions(),
            recorder: recorder.clone(),
            policy: engine(POLICY),
            server_name: "srv".to_owned(),
            command: sh(script),
            actor: local(),
            limits,
            answers: AnswerDurability::BeforeRelease,
        };
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let stop = CancellationToken::new();
        let (begins, told) = (recorder.clone(), stop.clone());
        let running = tokio::spawn(async move {
            begins.begin(BTreeMap::new()).await.unwrap();
            wrap(parts, BufReader::new(reader), writer, told).await
        });
        let output = BufReader::new(output);
        Self { input: Some(input), output, stop, running, log, recorder, directory }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        within("a line comes", self.output.read_line(&mut line)).await.unwrap();
        line
    }

    async fn hear_message(&mut self) -> Value {
        let line = self.hear().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What comes until the end.
    async fn hear_the_rest(&mut self) -> String {
        let mut rest = String::new();
        within("the end comes", self.output.read_to_string(&mut rest)).await.unwrap();
        rest
    }

    /// The client closes its side; how it ended, what came last, and the trail.
    pub(crate) async fn close(mut self) -> (WrapEnd, String, Trail) {
        self.input = None;
        self.end().await
    }

    /// Waits for the end.
    async fn end(mut self) -> (WrapEnd, String, Trail) {
        let rest = self.hear_the_rest().await;
        let end = within("the wrap ends", self.running).await.unwrap().unwrap();
        self.recorder.end().await.unwrap();
        close(self.log).await.unwrap();
        let log = self.directory.path().join("log");
        assert_eq!(trail::verify(&log).open, 0);
        assert!(!trail::mentions(&log, "canary"));
        let trail = Trail::read(&log);
        assert!(trail.sessions_ended(), "{:#?}", trail.rows);
        (end, rest, trail)
    }
}

fn local() -> Actor {
    Actor {
        id: "uid:1000".to_owned(),
        kind: ActorKind::Local,
        level: Level::Observed,
        provider: "local".to_owned(),
        ..Actor::anonymous()
    }
}

fn call(id: &str, tool: &str) -> String {
    format!("{}\n", crate::messages::call_body(id, tool))
}

/// Answers every request with what it read, and notes notifications.
const ECHO: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"notifications/'*) ;;
    *'"name":"silent"'*) ;;
    *'"name":"exit"'*) exit 7 ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"result":{"heard":%s}}\n' "$id" "$line" ;;
  esac
done
"#;

#[tokio::test]
async fn lines_pass_unchanged_both_ways() {
    let answer = r#"{ "id" :7 ,"result":{"n":1.00,"s":"\u0041 canary"}, "jsonrpc":"2.0" ,"x":[ ]}"#;
    // The program shows what it read on its standard error, which a file takes.
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "exec 2>{}; IFS= read -r line; printf '%s' \"$line\" >&2; printf '%s  \\r\\n' '{answer}'; IFS= read -r x",
        file.path().display()
    );
    let mut wrapped = Wrapped::start(&script);
    let ask = " { \"id\" : 7, \"params\":{\"name\":\"ec\\u0068o\",\"arguments\":{\"big\":100000000000000000000,\"s\":\"canary\"}},\t\"method\":\"tools/call\" ,\"jsonrpc\":\"2.0\",\"vendor\":1.0 }";
    wrapped.say(&format!("{ask}\n")).await;
    assert_eq!(wrapped.hear().await, format!("{answer}  \r\n"));
    let (end, rest, trail) = wrapped.close().await;
    assert!(matches!(end, WrapEnd::Closed(_)));
    assert_eq!(rest, "");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), ask);
    let call = trail.call("tools/call");
    assert_eq!(call.status(), Status::Ok);
    assert_eq!(call.asked.actor.as_ref().unwrap().id, "uid:1000");
    assert_eq!(call.asked.resource.as_ref().unwrap().names, ["echo"]);
    assert_eq!(call.asked.environment.transport, Some(Transport::Stdio));
    assert_eq!(call.asked.environment.peer, None);
}

/// Programs of many languages end a line at a lone carriage return too, which between two tokens of JSON is
/// but white space: what stands behind it would be a message of its own that nobody judged.
#[tokio::test]
async fn a_carriage_return_hides_no_second_message() {
    let seen = tempfile::NamedTempFile::new().unwrap();
    let forged = r#"{"jsonrpc":"2.0","id":7,"result":{"forged":true}}"#;
    let script = format!(
        "IFS= read -r line; printf '%s\n' \"$line\" >{}; \
         printf '{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{{\"a\":\r{forged}\r}}}}\n'; IFS= read -r x",
        seen.path().display(),
    );
    let mut wrapped = Wrapped::start(&script);
    let hidden = crate::messages::call_body("8", "wipe");
    let ask = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"echo","arguments":{{"a":{}{hidden}{}}}}}}}"#,
        '\r', '\r'
    );
    wrapped.say(&format!("{ask}\r\n")).await;
    assert_eq!(
        wrapped.hear().await,
        format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{{\"a\": {forged} }}}}\n")
    );
    let (_, _, trail) = wrapped.close().await;
    let line = std::fs::read_to_string(seen.path()).unwrap();
    assert_eq!(line, format!("{}\r\n", ask.replace('\r', " ")));
    assert_eq!(trail.calls("tools/call").len(), 1);
}

/// Readers of lines end them at more than line feeds; what one of them takes for a line of its own was
/// part of a message when it was decided on.
#[tokio::test]
async fn what_ends_a_line_elsewhere_ends_none_here() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let answer = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":\r{\"jsonrpc\":\"2.0\",\"method\":\"evil\"}\r,\"y\":\"\u{85}\u{2028}\u{2029}\"}}";
    let script = format!(
        "IFS= read -r line; printf '%s\\n' \"$line\" >{}; printf '%s\\n' '{answer}'; IFS= read -r x",
        file.path().display()
    );
    let mut wrapped = Wrapped::start(&script);
    let hidden = call("2", "wipe");
    let ask = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"safe\",\"arguments\":{{\"x\":\r{}\r,\"y\":\"\u{85}\u{2028}{{}}\u{2029}\"}}}}}}",
        hidden.trim_end()
    );
    wrapped.say(&format!("{ask}\n")).await;
    let heard = wrapped.hear().await;
    wrapped.close().await;
    let read = std::fs::read_to_string(file.path()).unwrap();
    for (sent, came) in [(&ask, &read), (&answer.to_owned(), &heard)] {
        let line = came.strip_suffix('\n').unwrap();
        assert!(!line.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), "{line:?}");
        let meaning = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(meaning(line), meaning(sent));
    }
}

#[tokio::test]
async fn a_whole_conversation_of_the_older_era() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&format!("{}\n", crate::messages::INITIALIZE)).await;
    assert_eq!(wrapped.hear_message().await["id"], 0);
    wrapped.say(&format!("{}\n\n", crate::messages::INITIALIZED)).await;
    wrapped.say(&call("1", "echo")).await;
    assert_eq!(wrapped.hear_message().await["id"], 1);
    let (end, rest, trail) = wrapped.close().await;
    assert!(matches!(end, WrapEnd::Closed(_)));
    assert_eq!(rest, "");
    assert_eq!(trail.call("initialize").asked.client.as_ref().unwrap().name, "tester");
    assert_eq!(trail.call("notifications/initialized").status(), Status::Accepted);
    let calls = [trail.call("initialize"), trail.call("tools/call")];
    assert!(calls.iter().all(|call| call.status() == Status::Ok));
    assert_eq!(calls[0].asked.session, calls[1].asked.session);
}

#[tokio::test]
async fn the_stateless_era_needs_no_headers_here() {
    let mut wrapped = Wrapped::start(ECHO);
    let ask = crate::messages::modern_call("\"a\"", "echo");
    wrapped.say(&format!("{}\n", std::str::from_utf8(&ask.body).unwrap())).await;
    assert_eq!(wrapped.hear_message().await["id"], "a");
    let (_, _, trail) = wrapped.close().await;
    let call = trail.call("tools/call");
    assert_eq!(call.asked.protocol.as_deref(), Some("2026-07-28"));
    assert_eq!(call.status(), Status::Ok);
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_program() {
    let mut wrapped =
        Wrapped::start_with(ECHO, Limits { request_bytes_max: 2_000, ..Limits::default() });
    wrapped.say(&call("\"w\"", "wipe")).await;
    let message = wrapped.hear_message().await;
    assert_eq!((code(&message), message["id"].as_str()), (40_300, Some("w")));
    assert_eq!(crate::messages::reason(&message), "policy.forbid");
    for (line, expected) in [
        ("{\"canary\":\n".to_owned(), 40_000),
        (format!("[{}]\n", crate::messages::call_body("1", "echo")), 40_001),
        (format!("{}{}", " ".repeat(2_000), call("1", "echo")), 41_300),
    ] {
        wrapped.say(&line).await;
        let message = wrapped.hear_message().await;
        assert_eq!(code(&message), expected);
        assert!(message.get("id").is_none());
    }
    // Answers and notifications are owed nothing.
    wrapped.say("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n").await;
    wrapped.say(&call("4", "echo")).await;
    assert_eq!(wrapped.hear_message().await["id"], 4);
    let (_, rest, trail) = wrapped.close().await;
    assert_eq!(rest, "");
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(
        reasons,
        [
            "policy.forbid",
            "malformed.not-json",
            "malformed.batch",
            "malformed.too-large",
            "malformed.out-of-place"
        ]
    );
    for event in trail.refusals() {
        assert_eq!(event.actor.as_ref().unwrap().id, "uid:1000");
        assert_eq!(event.refusal.as_ref().unwrap().http_status, None);
    }
    assert_eq!(trail.calls("tools/call").len(), 1);
}

#[tokio::test]
async fn a_cancelled_call_is_over() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&call("5", "silent")).await;
    wrapped
        .say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":5}}\n")
        .await;
    wrapped.say(&call("5", "echo")).await;
    assert_eq!(wrapped.hear_message().await["id"], 5);
    let (_, _, trail) = wrapped.close().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Ok]);
    assert_eq!(trail.call("notifications/cancelled").status(), Status::Accepted);
}

#[tokio::test]
async fn an_id_in_use_is_refused() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&call("5", "silent")).await;
    wrapped.say(&call("5", "echo")).await;
    let message = wrapped.hear_message().await;
    assert_eq!((code(&message), message["id"].as_i64()), (40_004, Some(5)));
    let (_, rest, trail) = wrapped.close().await;
    assert_eq!(rest, "");
    assert_eq!(trail.call("tools/call").status(), Status::ClientGone);
    assert_eq!(trail::reason(trail.refusal()), "malformed.id-in-use");
}

#[tokio::test]
async fn the_server_may_ask_and_is_answered() {
    let script = r#"
IFS= read -r call
echo '{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}'
IFS= read -r refusal
echo '{"jsonrpc":"2.0","id":2,"method":"roots/list"}'
IFS= read -r roots
printf '{"jsonrpc":"2.0","method":"notifications/message","params":{"refusal":%s}}\n' "$refusal"
printf '{"jsonrpc":"2.0","id":9,"result":{"roots":%s}}\n' "$roots"
IFS= read -r end
"#;
    let mut wrapped = Wrapped::start(script);
    wrapped.say(&call("9", "echo")).await;
    let question = wrapped.hear_message().await;
    assert_eq!(
        (question["id"].as_i64(), question["method"].as_str()),
        (Some(2), Some("roots/list"))
    );
    wrapped.say("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"roots\":[\"canary\"]}}\n").await;
    let notice = wrapped.hear_message().await;
    assert_eq!(notice["params"]["refusal"]["error"]["code"], 40_300);
    assert_eq!(notice["params"]["refusal"]["id"], 1);
    assert_eq!(wrapped.hear_message().await["result"]["roots"]["result"]["roots"][0], "canary");
    let (_, _, trail) = wrapped.close().await;
    let question = trail.call("roots/list");
    assert_eq!(question.asked.direction, Some(Direction::ToClient));
    assert_eq!(question.asked.actor.as_ref().unwrap().kind, ActorKind::Server);
    assert_eq!(question.status(), Status::Ok);
    assert_eq!(trail::reason(trail.refusal()), "policy.forbid");
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn what_the_program_says_out_of_place_is_withheld() {
    let script = r#"
IFS= read -r call
echo 'Starting up canary...'
echo '{"jsonrpc":"2.0","id":8,"result":{}}'
echo '[{"jsonrpc":"2.0","id":9,"result":{}}]'
echo
echo '{"jsonrpc":"2.0","id":9,"result":{}}'
echo '{"jsonrpc":"2.0","id":9,"result":{}}'
IFS= read -r end
"#;
    let mut wrapped = Wrapped::start(script);
    wrapped.say(&call("9", "echo")).await;
    assert_eq!(wrapped.hear().await, "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n");
    let (_, rest, trail) = wrapped.close().await;
    assert_eq!(rest, "");
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    let unsolicited = "server.unsolicited-answer";
    assert_eq!(reasons, ["server.malformed", unsolicited, "server.batch", unsolicited]);
}

#[tokio::test]
async fn a_program_that_says_too_much_is_counted_and_a_late_answer_called_so() {
    let script = r#"
IFS= read -r call
IFS= read -r cancelled
i=0; while [ $i -lt 30 ]; do echo "line $i of canary"; i=$((i+1)); done
echo '{"jsonrpc":"2.0","method":"notifications/message","params":{}}'
IFS= read -r call
echo '{"jsonrpc":"2.0","id":9,"result":{}}'
echo '{"jsonrpc":"2.0","id":10,"result":{}}'
IFS= read -r end
"#;
    let mut wrapped = Wrapped::start(script);
    wrapped.say(&call("9", "echo")).await;
    wrapped
        .say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":9}}\n")
        .await;
    wrapped.hear().await;
    wrapped.say(&call("10", "echo")).await;
    assert_eq!(wrapped.hear_message().await["id"], 10);
    let (_, _, trail) = wrapped.close().await;
    let refusals = trail.refusals();
    let reasons: Vec<_> = refusals.iter().map(|event| trail::reason(event)).collect();
    assert_eq!(reasons.len(), 10, "{reasons:?}");
    assert!(reasons[..8].iter().all(|reason| *reason == "server.malformed"));
    assert_eq!(reasons[8..], ["server.more-withheld", "server.late-answer"]);
    assert_eq!(refusals[8].details["withheld"], "22");
}

#[tokio::test]
async fn a_program_that_ends_fails_what_it_was_asked() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&call("1", "silent")).await;
    wrapped.say(&call("2", "exit")).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let message = wrapped.hear_message().await;
        assert_eq!(code(&message), 50_201);
        ids.push(message["id"].as_i64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    let (end, rest, trail) = wrapped.end().await;
    let WrapEnd::ProgramEnded(Some(status)) = end else { panic!("{end:?}") };
    assert_eq!(status.code(), Some(7));
    assert_eq!(rest, "");
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::TransportFailure, Status::TransportFailure]);
}

#[tokio::test]
async fn a_program_may_end_while_calls_are_on_their_way() {
    for _ in 0..5 {
        let mut wrapped = Wrapped::start("IFS= read -r line");
        let calls: String = (0..50).map(|id| call(&id.to_string(), "echo")).collect();
        wrapped.say(&calls).await;
        // Whatever was on its way has an end on record: `end` demands it.
        let (end, _, trail) = wrapped.end().await;
        assert!(matches!(end, WrapEnd::ProgramEnded(_)));
        assert!(!trail.calls("tools/call").is_empty());
    }
}

#[tokio::test]
async fn the_program_may_finish_when_the_client_has_closed() {
    let script = r#"
while IFS= read -r line; do last=$line; done
echo '{"jsonrpc":"2.0","id":1,"result":{"last":true}}'
"#;
    let mut wrapped = Wrapped::start(script);
    wrapped.say(&call("1", "echo")).await;
    let (end, rest, trail) = wrapped.close().await;
    assert!(matches!(end, WrapEnd::Closed(_)));
    assert_eq!(rest, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"last\":true}}\n");
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn told_to_stop_it_ends_what_is_open() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&call("1", "silent")).await;
    wrapped.say(&call("2", "echo")).await;
    assert_eq!(wrapped.hear_message().await["id"], 2);
    wrapped.stop.cancel();
    let (end, rest, trail) = wrapped.end().await;
    assert!(matches!(end, WrapEnd::Closed(_)));
    assert_eq!(rest, "");
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Unknown, Status::Ok]);
}

#[tokio::test]
async fn told_to_stop_it_does_not_wait_for_a_program_that_goes_on() {
    let mut wrapped = Wrapped::start("while IFS= read -r line; do :; done; exec sleep 600");
    wrapped.input = None;
    wrapped.stop.cancel();
    let (end, _, _) = wrapped.end().await;
    assert!(matches!(end, WrapEnd::Closed(_)));
}

#[tokio::test]
async fn a_log_that_fails_stops_every_call() {
    let mut wrapped = Wrapped::start(ECHO);
    wrapped.say(&call("1", "echo")).await;
    wrapped.hear_message().await;
    let segments = wrapped.directory.path().join("log").join("segments");
    for entry in std::fs::read_dir(segments).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    wrapped.say(&call("2", "echo")).await;
    let message = wrapped.hear_message().await;
    assert_eq!((code(&message), message["id"].as_i64()), (50_300, Some(2)));
    assert_eq!(crate::messages::reason(&message), "log.unavailable");
    wrapped.input = None;
    assert_eq!(wrapped.hear_the_rest().await, "");
    within("the wrap ends", wrapped.running).await.unwrap().unwrap();
    close(wrapped.log).await.unwrap_err();
}

#[tokio::test]
async fn a_program_that_does_not_exist_cannot_be_wrapped() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let (signer, _) = Signer::generate("example.com/log").unwrap();
    let log = Log::create(&directory.path().join("log"), signer, log_config(clock, 0)).unwrap();
    let parts = WrapParts {
        definitions: crate::rig::definitions(),
        recorder: Recorder::new(log.clone(), place(), clock),
        policy: engine(POLICY),
        server_name: "srv".to_owned(),
        command: gateway::config::Command { program: "/no/such".to_owned(), ..sh("") },
        actor: local(),
        limits: Limits::default(),
        answers: AnswerDurability::BeforeRelease,
    };
    let (reader, writer) = (tokio::io::empty(), tokio::io::sink());
    let error = wrap(parts, reader, writer, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot start server program `/no/such`: "));
    close(log).await.unwrap();
}

/// Agrees on 2025-03-26; answers the calls of `later` together with the one that comes next.
const OLDER: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-03-26"}}\n' "$id" ;;
    *'"method":"notifications/'*) ;;
    *'"name":"later"'*) later=$id ;;
    *'"name":"silent"'*) ;;
    *'"name":"now"'*)
      printf '[{"jsonrpc":"2.0","id":%s,"result":{}} ,{"jsonrpc":"2.0","id":%s,"result":{}}]\n' "$later" "$id" ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"result":{"n":1.0}}\n' "$id" ;;
  esac
done
"#;

#[tokio::test]
async fn batches_on_standard_input_are_answered_together() {
    let mut wrapped = Wrapped::start(OLDER);
    wrapped.say(&format!("{}\n", crate::messages::INITIALIZE)).await;
    assert_eq!(wrapped.hear_message().await["id"], 0);
    let body = crate::messages::call_body;
    let notice = crate::messages::INITIALIZED;
    wrapped.say(&format!("[{notice},{},{}]\n", body("1", "echo"), body("2", "wipe"))).await;
    let answers = wrapped.hear_message().await;
    let mut ids: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| answer["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    // An array of the server passes as it is; what is withheld from it leaves the rest.
    wrapped.say(&call("3", "later")).await;
    wrapped.say(&call("4", "now")).await;
    assert_eq!(
        wrapped.hear().await,
        "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}} ,{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}]\n"
    );
    wrapped.say(&call("5", "now")).await;
    assert_eq!(wrapped.hear().await, "[{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}]\n");
    // A cancelled call does not keep the answers to the others back.
    wrapped.say(&format!("[{},{}]\n", body("6", "silent"), body("7", "echo"))).await;
    wrapped
        .say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":6}}\n")
        .await;
    assert_eq!(wrapped.hear_message().await[0]["id"], 7);
    let (_, rest, trail) = wrapped.close().await;
    assert_eq!(rest, "");
    let roots: Vec<_> = trail.calls("tools/call").iter().map(|call| call.asked.root).collect();
    assert!(roots[0].is_some() && roots[0] != roots[4] && roots[4] == roots[5]);
    assert_eq!(roots[1..4], [None; 3]);
    let [forbidden, withheld] = trail.refusals()[..] else { panic!("{:#?}", trail.rows) };
    assert_eq!((trail::reason(forbidden), forbidden.root), ("policy.forbid", roots[0]));
    assert_eq!(trail::reason(withheld), "server.unsolicited-answer");
}
