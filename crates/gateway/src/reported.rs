//! States of tasks that servers tell by themselves (`notifications/tasks`, and `notifications/tasks/status` of
//! 2025-11-25): on record as they pass by. Bounded for each exchange, as a server may tell as many as it likes.
//! Changes nothing and holds nothing up.

use crate::handles::Named;
use crate::session::handle_digest;
use crate::tally::Tally;
use crate::withheld::Scene;
use event::{Chain, Event, TaskState};
use mcp::edit::{Step, find};
use mcp::{Message, Method};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Records of single states in one minute of one exchange.
const SINGLE_MAX: u32 = 60;

/// Tasks of one exchange whose last state is remembered, so that it is not recorded again.
const TASKS_MAX: usize = 256;

/// What a server says of a task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Digest of its id.
    pub(crate) task: String,
    pub(crate) state: TaskState,
    /// Of the JSON-RPC error with which it failed.
    code: Option<i64>,
}

/// What was told in one exchange so far.
#[derive(Debug)]
pub(crate) struct Reported {
    last: HashMap<String, TaskState>,
    tally: Tally,
}

impl Told {
    /// What a notification says of a task; nothing when it says nothing that we know.
    pub(crate) fn of(message: &Message<'_>, raw: &[u8]) -> Option<Self> {
        let Message::Notification(notification) = message else { return None };
        let is_told = matches!(
            notification.method,
            Method::NotificationsTasks | Method::NotificationsTasksStatus
        );
        let id = notification.params.task_id.as_deref().filter(|_| is_told)?;
        let status = find(raw, &[PARAMS, Step::Key("status")]).ok()?;
        let status: String = serde_json::from_str(status.first()?.raw).ok()?;
        let code = find(raw, &[PARAMS, Step::Key("error"), Step::Key("code")]).ok();
        let code = code.and_then(|found| found.first()?.raw.parse().ok());
        Some(Self { task: handle_digest(id.as_bytes()), state: state_named(&status)?, code })
    }

    /// The task as a handle.
    pub(crate) fn named(&self) -> Named {
        Named::task(self.task.clone())
    }
}

impl Default for Reported {
    fn default() -> Self {
        Self { last: HashMap::new(), tally: Tally::new(SINGLE_MAX) }
    }
}

impl Reported {
    /// Puts a state on record, unless it is the last one told; `chain` is that of the task.
    pub(crate) fn hear(&mut self, told: Told, chain: Option<Chain>, scene: &Scene<'_>) {
        if self.last.get(&told.task) == Some(&told.state) {
            return;
        }
        if self.last.len() < TASKS_MAX || self.last.contains_key(&told.task) {
            self.last.insert(told.task.clone(), told.state);
        }
        let (by_itself, counted) = self.tally.hear(Instant::now());
        record_more(scene, counted);
        if by_itself {
            let mut details = BTreeMap::from([
                ("server".to_owned(), scene.server.to_owned()),
                ("state".to_owned(), told.state.as_str().to_owned()),
                ("task".to_owned(), told.task),
            ]);
            details.extend(told.code.map(|code| ("code".to_owned(), code.to_string())));
            record(scene, chain.unwrap_or(scene.chain), details);
        }
    }

    /// Puts on record how many more there were.
    pub(crate) fn end(&self, scene: &Scene<'_>) {
        record_more(scene, self.tally.end());
    }
}

fn record_more(scene: &Scene<'_>, counted: u64) {
    if 0 < counted {
        let details = BTreeMap::from([
            ("more".to_owned(), counted.to_string()),
            ("server".to_owned(), scene.server.to_owned()),
        ]);
        record(scene, scene.chain, details);
    }
}

/// Nothing waits for this record: it is durable with the next group commit, and when it cannot be written the
/// operator is told.
fn record(scene: &Scene<'_>, chain: Chain, details: BTreeMap<String, String>) {
    let stamp = scene.recorder.stamp(scene.origin.peer.as_deref(), Some(scene.origin.transport));
    if let Err(error) = scene.recorder.submit(&Event::task_reported(stamp, chain, details)) {
        tracing::error!(server = scene.server, %error, "the state of a task could not be put on record");
    }
}

fn state_named(status: &str) -> Option<TaskState> {
    match status {
        "working" => Some(TaskState::Working),
        "input_required" => Some(TaskState::InputRequired),
        "completed" => Some(TaskState::Completed),
        "cancelled" => Some(TaskState::Cancelled),
        "failed" => Some(TaskState::Failed),
        _ => None,
    }
}

const PARAMS: Step<'static> = Step::Key("params");

#[cfg(test)]
mod tests {
    use super::Told;
    use crate::session::handle_digest;
    use event::TaskState;
    use mcp::Frame;

    fn told(raw: &str) -> Option<Told> {
        let Ok(Frame::Single(message)) = mcp::parse(raw.as_bytes(), &mcp::Limits::for_replies())
        else {
            panic!("not a message: {raw}");
        };
        Told::of(&message, raw.as_bytes())
    }

    #[test]
    fn states_are_read_in_both_revisions() {
        let notice = |method: &str, params: &str| {
            format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#)
        };
        let params = r#""taskId":"t\u0031","status":"input_required""#;
        for method in ["notifications/tasks", "notifications/tasks/status"] {
            let found = told(&notice(method, params)).unwrap();
            let task = handle_digest(b"t1");
            assert_eq!(found, Told { task, state: TaskState::InputRequired, code: None });
        }
        let failed = r#""taskId":"t","status":"failed","error":{"message":"x","code":-32603}"#;
        assert_eq!(told(&notice("notifications/tasks", failed)).unwrap().code, Some(-32_603));
        for (method, params) in [
            ("notifications/message", params),
            ("notifications/tasks", r#""taskId":"t","status":"sleeping""#),
            ("notifications/tasks", r#""taskId":"t""#),
        ] {
            assert_eq!(told(&notice(method, params)), None, "{method} {params}");
        }
    }
}
