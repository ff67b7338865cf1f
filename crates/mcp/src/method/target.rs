//! What a message touches, read from its parameters. It refuses to resolve anything: a URI is
//! compared as it was written.

use std::borrow::Cow;

use super::Method;
use crate::id::RequestId;
use crate::malformed::{Fault, Malformed};
use crate::message::{Params, Reference};
use crate::revision::Revision;

/// What a message touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'p> {
    /// The tool of this name.
    Tool(&'p str),
    /// The resource at this URI; skills and directories are resources too.
    Resource(&'p str),
    /// The template whose variables are completed, as it was listed.
    ResourceTemplate(&'p str),
    /// The prompt of this name.
    Prompt(&'p str),
    /// The task of this id.
    Task(&'p str),
    /// Everything a listening client wants to hear of; either list may be empty.
    Subscription {
        /// URIs of watched resources.
        uris: &'p [Cow<'p, str>],
        /// Ids of watched tasks.
        tasks: &'p [Cow<'p, str>],
    },
    /// Another request of the same session, by its id.
    Call(&'p RequestId),
    /// The server as a whole: its lists, its handshake, its log level.
    Server,
    /// The client as a whole: sampling, elicitation, roots.
    Client,
    /// Nothing we can name: an unknown method, a plain notice.
    None,
}

impl Method<'_> {
    /// What a message with these parameters touches.
    ///
    /// # Errors
    /// A required name, URI, task id, `ref` or `notifications` is absent. [`crate::parse`] refuses
    /// such messages, so for its messages this does not fail.
    pub fn target<'p>(&self, params: &'p Params<'_>) -> Result<Target<'p>, Malformed> {
        Ok(match self {
            Self::ToolsCall => Target::Tool(required(&params.name, "params.name")?),
            Self::PromptsGet => Target::Prompt(required(&params.name, "params.name")?),
            // 2026-07-28 has these methods no more: a server answers that, whatever they name.
            Self::ResourcesSubscribe | Self::ResourcesUnsubscribe
                if params.uri.is_none() && is_modern(params) =>
            {
                Target::Server
            }
            Self::ResourcesRead
            | Self::ResourcesSubscribe
            | Self::ResourcesUnsubscribe
            | Self::ResourcesDirectoryRead
            | Self::SkillsGet
            | Self::NotificationsResourcesUpdated => {
                Target::Resource(required(&params.uri, "params.uri")?)
            }
            Self::TasksGet
            | Self::TasksCancel
            | Self::TasksResult
            | Self::TasksUpdate
            | Self::NotificationsTasks
            | Self::NotificationsTasksStatus => {
                Target::Task(required(&params.task_id, "params.taskId")?)
            }
            Self::CompletionComplete => match &params.reference {
                Some(Reference::Prompt(name)) => Target::Prompt(name),
                Some(Reference::Resource(uri)) => Target::ResourceTemplate(uri),
                None => return Err(missing("params.ref")),
            },
            Self::SubscriptionsListen | Self::NotificationsSubscriptionsAcknowledged => {
                match &params.subscriptions {
                    Some(watched) => {
                        Target::Subscription { uris: &watched.uris, tasks: &watched.tasks }
                    }
                    None => return Err(missing("params.notifications")),
                }
            }
            // Since 2025-11-25 the id may be absent: a task is then cancelled by `tasks/cancel`.
            Self::NotificationsCancelled => {
                params.request_id.as_ref().map_or(Target::None, Target::Call)
            }
            Self::Initialize
            | Self::Ping
            | Self::ServerDiscover
            | Self::LoggingSetLevel
            | Self::ToolsList
            | Self::ResourcesList
            | Self::ResourcesTemplatesList
            | Self::PromptsList
            | Self::TasksList
            | Self::SkillsList => Target::Server,
            Self::SamplingCreateMessage
            | Self::RootsList
            | Self::ElicitationCreate
            | Self::NotificationsElicitationComplete => Target::Client,
            _ => Target::None,
        })
    }
}

fn is_modern(params: &Params<'_>) -> bool {
    let named = params.meta.as_ref().and_then(|meta| meta.protocol_version.as_deref());
    named.map(Revision::from_name).is_some_and(|revision| revision.is_modern())
}

fn required<'p>(text: &'p Option<Cow<'_, str>>, field: &'static str) -> Result<&'p str, Malformed> {
    text.as_deref().ok_or_else(|| missing(field))
}

fn missing(field: &'static str) -> Malformed {
    Malformed::nowhere(Fault::Missing { field })
}
