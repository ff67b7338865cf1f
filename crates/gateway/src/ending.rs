//! How a call ended, by the message that answers it: results, errors and tasks told apart. Reads the view
//! of the answer; passes nothing on.

use crate::asked::{Asked, Ending};
use crate::pipeline::{Pipeline, length};
use event::{Status, TaskState};
use mcp::Outcome;
use mcp::reply::{ResultType, TaskStatus};
use std::time::Instant;

impl Pipeline {
    /// How a call of the client ended, by the message that answers it; takes in the handles in it.
    pub(crate) fn ending(&self, asked: &Asked, response: &mcp::Response<'_>, raw: &[u8]) -> Ending {
        let handles = match &response.outcome {
            Outcome::Result(result) => self.handles.give(asked, result, Instant::now()),
            Outcome::Error { .. } => Vec::new(),
        };
        Ending { handles, ..ending_of(response, raw) }
    }
}

/// How a call ended, by the message that answers it.
pub(crate) fn ending_of(response: &mcp::Response<'_>, raw: &[u8]) -> Ending {
    let (status, code, task) = match &response.outcome {
        Outcome::Error { code } => (Status::ProtocolError, Some(*code), None),
        Outcome::Result(result) => {
            let task = result.task.as_ref();
            let code = task.and_then(|task| task.error_code);
            (result_status(result), code, task.and_then(|task| state_of(task.status)))
        }
    };
    Ending { code, task, response_bytes: length(raw), response_messages: 1, ..Ending::new(status) }
}

/// A task that failed is a tool that failed, whenever that is told.
fn result_status(result: &mcp::reply::ResultView<'_>) -> Status {
    let task = result.task.as_ref();
    if result.is_error || task.is_some_and(|t| t.is_error || t.status == TaskStatus::Failed) {
        return Status::ToolError;
    }
    match (result.result_type, task.map(|task| task.status)) {
        (ResultType::InputRequired, _) => Status::InputRequired,
        (ResultType::Task, _) | (_, Some(TaskStatus::Working | TaskStatus::InputRequired)) => {
            Status::Task
        }
        (ResultType::Complete | ResultType::Other, _) => Status::Ok,
    }
}

fn state_of(status: TaskStatus) -> Option<TaskState> {
    match status {
        TaskStatus::Working => Some(TaskState::Working),
        TaskStatus::InputRequired => Some(TaskState::InputRequired),
        TaskStatus::Completed => Some(TaskState::Completed),
        TaskStatus::Cancelled => Some(TaskState::Cancelled),
        TaskStatus::Failed => Some(TaskState::Failed),
        TaskStatus::Other => None,
    }
}
