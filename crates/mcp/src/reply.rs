//! What an audit needs to know of a result. It refuses to judge: a field of an unexpected type is
//! read as absent, as the reply is forwarded whatever it says. All but `isError`: what is neither `true`
//! nor `false` there, clients take for either, and the outcome on record would be a guess.
//!
//! Bodies from servers are read with [`crate::parse`] under [`Limits::for_replies`]; one that is
//! refused is an outcome to record. Requests in them are questions to the client.

use std::borrow::Cow;

use crate::json::{Kind, Read, Reader};
use crate::limits::Limits;
use crate::malformed::{Fault, Malformed};
use crate::message::{Notes, Peer, read_peer};

/// The fields of a result, of whatever method, that an audit reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultView<'a> {
    /// The result as it was sent.
    pub raw: &'a str,
    /// `isError` of a tool result: the tool failed.
    pub is_error: bool,
    /// `resultType`; absent means complete.
    pub result_type: ResultType,
    /// The task that was made, or whose state was asked for.
    pub task: Option<Task<'a>>,
    /// `requestState`: opaque, to be echoed by the client.
    pub request_state: Option<Cow<'a, str>>,
    /// The methods of `inputRequests`: what the server wants to be answered before it goes on.
    pub input_requests: Vec<Cow<'a, str>>,
    /// `protocolVersion` of an `initialize` result.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `serverInfo`, of an `initialize` result or in `_meta`: what the server says it is.
    pub server: Option<Peer<'a>>,
    /// The entries of `tools` of a `tools/list` result, in order.
    pub tools: Vec<ListedTool<'a>>,
}

/// `resultType` (2026-07-28).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResultType {
    /// The request is done; the default of older revisions.
    #[default]
    Complete,
    /// The server wants input first.
    InputRequired,
    /// The server made a task of it.
    Task,
    /// A value of an extension.
    Other,
}

/// The state of a task: flat since 2026-07-28, under `task` in 2025-11-25.
#[derive(Debug, Clone, PartialEq)]
pub struct Task<'a> {
    /// `taskId`.
    pub id: Cow<'a, str>,
    /// `status`.
    pub status: TaskStatus,
    /// `error.code`, if the task failed.
    pub error_code: Option<i64>,
    /// `result.isError`: the task is done, and its tool failed.
    pub is_error: bool,
}

/// `status` of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the status whose name it spells")]
pub enum TaskStatus {
    Working,
    InputRequired,
    Completed,
    Cancelled,
    Failed,
    /// A status we do not know, or none.
    Other,
}

/// One entry of a list of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTool<'a> {
    /// `name`; `None` if it has none.
    pub name: Option<Cow<'a, str>>,
    /// The entry as it was sent.
    pub raw: &'a str,
}

/// The parts of a task, wherever they stand.
#[derive(Debug, Default)]
struct TaskParts<'a> {
    id: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    error_code: Option<i64>,
    is_error: bool,
}

impl<'a> ResultView<'a> {
    /// Reads the object under `result`.
    pub(crate) fn read(reader: &mut Reader<'a>, limits: &Limits) -> Read<Self> {
        let start = reader.place();
        if reader.kind()? != Kind::Object {
            let fault = Fault::WrongType { field: "result", expected: "an object" };
            return Err(Malformed::new(fault, start));
        }
        let mut view = Self::default();
        let mut task = TaskParts::default();
        reader.object(|reader, key, _| match (key, reader.kind()?) {
            ("isError", _) => {
                view.is_error = read_flag(reader, "result.isError")?;
                Ok(())
            }
            ("resultType", Kind::String) => {
                view.result_type = ResultType::from_name(&reader.string()?);
                Ok(())
            }
            ("requestState", Kind::String) => {
                view.request_state = reader.string_or_skip()?;
                Ok(())
            }
            ("protocolVersion", Kind::String) => {
                view.protocol_version = reader.string_or_skip()?;
                Ok(())
            }
            ("serverInfo", Kind::Object) => {
                view.server = read_peer(reader, limits, &mut Notes::default(), "result")?;
                Ok(())
            }
            ("_meta", Kind::Object) => view.read_meta(reader, limits),
            ("inputRequests", Kind::Object) => view.read_input_requests(reader, limits),
            ("tools", Kind::Array) => view.read_tools(reader, limits),
            ("task", Kind::Object) => reader.object(|reader, key, _| task.read(reader, key)),
            _ => task.read(reader, key),
        })?;
        view.task = task.into_task();
        view.raw = reader.since(start)?;
        Ok(view)
    }

    fn read_meta(&mut self, reader: &mut Reader<'a>, limits: &Limits) -> Read<()> {
        reader.object(|reader, key, _| match (key, reader.kind()?) {
            (SERVER, Kind::Object) => {
                self.server = read_peer(reader, limits, &mut Notes::default(), "result")?;
                Ok(())
            }
            _ => reader.skip(),
        })
    }

    fn read_input_requests(&mut self, reader: &mut Reader<'a>, limits: &Limits) -> Read<()> {
        reader.object(|reader, _, at| {
            check_room(self.input_requests.len(), limits, "result.inputRequests", at)?;
            if reader.kind()? != Kind::Object {
                return reader.skip();
            }
            let method = read_text_member(reader, "method")?;
            self.input_requests.extend(method);
            Ok(())
        })
    }

    fn read_tools(&mut self, reader: &mut Reader<'a>, limits: &Limits) -> Read<()> {
        reader.array(|reader| {
            let start = reader.place();
            check_room(self.tools.len(), limits, "result.tools", start)?;
            let name = match reader.kind()? {
                Kind::Object => read_text_member(reader, "name")?,
                _ => {
                    reader.skip()?;
                    None
                }
            };
            self.tools.push(ListedTool { name, raw: reader.since(start)? });
            Ok(())
        })
    }
}

impl ResultType {
    fn from_name(name: &str) -> Self {
        match name {
            "complete" => Self::Complete,
            "input_required" => Self::InputRequired,
            "task" => Self::Task,
            _ => Self::Other,
        }
    }
}

impl TaskStatus {
    fn from_name(name: &str) -> Self {
        match name {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "cancelled" => Self::Cancelled,
            "failed" => Self::Failed,
            _ => Self::Other,
        }
    }
}

impl<'a> TaskParts<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, key: &str) -> Read<()> {
        match (key, reader.kind()?) {
            ("taskId", Kind::String) => self.id = reader.string_or_skip()?,
            ("status", Kind::String) => self.status = reader.string_or_skip()?,
            ("error", Kind::Object) => reader.object(|reader, key, _| {
                if key == "code" && reader.kind()? == Kind::Number {
                    self.error_code = reader.number()?.parse().ok();
                    return Ok(());
                }
                reader.skip()
            })?,
            ("result", Kind::Object) => reader.object(|reader, key, _| {
                if key == "isError" {
                    self.is_error = read_flag(reader, "result.result.isError")?;
                    return Ok(());
                }
                reader.skip()
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn into_task(self) -> Option<Task<'a>> {
        let status = self.status.as_deref().map_or(TaskStatus::Other, TaskStatus::from_name);
        let Self { error_code, is_error, .. } = self;
        self.id.map(|id| Task { id, status, error_code, is_error })
    }
}

/// Reads what must be `true` or `false`.
fn read_flag(reader: &mut Reader<'_>, field: &'static str) -> Read<bool> {
    let at = reader.place();
    if reader.kind()? != Kind::Bool {
        return Err(Malformed::new(Fault::WrongType { field, expected: "true or false" }, at));
    }
    reader.bool()
}

/// Reads one text out of an object.
fn read_text_member<'a>(reader: &mut Reader<'a>, wanted: &str) -> Read<Option<Cow<'a, str>>> {
    let mut text = None;
    reader.object(|reader, key, _| {
        if key == wanted {
            text = reader.string_or_skip()?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(text)
}

fn check_room(length: usize, limits: &Limits, field: &'static str, at: usize) -> Read<()> {
    if length < limits.items_max {
        return Ok(());
    }
    Err(Malformed::new(Fault::TooMany { field, max: limits.items_max }, at))
}

const SERVER: &str = "io.modelcontextprotocol/serverInfo";
