//! Every method of every revision: its name, its class, who sends it and what it touches. It
//! refuses to know whether anybody may call it.

mod target;

use std::borrow::Cow;
use std::fmt;

pub use self::target::Target;

/// A method name, known or not. Names are compared decoded and case-sensitively.
///
/// The revisions are 2024-11-05 to 2026-07-28, with the extensions `tasks` and `skills`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the method whose name it spells")]
pub enum Method<'a> {
    Initialize,
    Ping,
    ServerDiscover,
    ToolsList,
    ToolsCall,
    ResourcesList,
    ResourcesTemplatesList,
    ResourcesRead,
    ResourcesSubscribe,
    ResourcesUnsubscribe,
    ResourcesDirectoryRead,
    PromptsList,
    PromptsGet,
    CompletionComplete,
    LoggingSetLevel,
    TasksGet,
    TasksCancel,
    TasksResult,
    TasksList,
    TasksUpdate,
    SubscriptionsListen,
    SkillsList,
    SkillsGet,
    SamplingCreateMessage,
    RootsList,
    ElicitationCreate,
    NotificationsInitialized,
    NotificationsCancelled,
    NotificationsProgress,
    NotificationsMessage,
    NotificationsRootsListChanged,
    NotificationsResourcesUpdated,
    NotificationsResourcesListChanged,
    NotificationsToolsListChanged,
    NotificationsPromptsListChanged,
    NotificationsElicitationComplete,
    NotificationsTasksStatus,
    NotificationsTasks,
    NotificationsSubscriptionsAcknowledged,
    /// A method of a vendor, of an extension or of a revision to come.
    Other(Cow<'a, str>),
}

/// What a method does, as policy wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Brings something to the caller: a resource, a prompt, the state of a task.
    Read,
    /// May change the world: a tool call, input to a task, the end of a task.
    Write,
    /// Lists what there is.
    List,
    /// Starts or ends watching.
    Subscribe,
    /// Keeps the conversation itself: handshake, discovery, ping, log level, cancellation.
    Session,
    /// A server asks its client: sampling, elicitation, roots.
    Ask,
    /// A notification that something happened.
    Notice,
    /// Not known: policy needs a rule of its own for these.
    Unknown,
}

/// Who sends a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The client only.
    Client,
    /// The server only.
    Server,
    /// Either, in some revision.
    Either,
}

impl<'a> Method<'a> {
    /// Every known method, in the order of their declaration.
    pub const KNOWN: [Self; 39] = [
        Self::Initialize,
        Self::Ping,
        Self::ServerDiscover,
        Self::ToolsList,
        Self::ToolsCall,
        Self::ResourcesList,
        Self::ResourcesTemplatesList,
        Self::ResourcesRead,
        Self::ResourcesSubscribe,
        Self::ResourcesUnsubscribe,
        Self::ResourcesDirectoryRead,
        Self::PromptsList,
        Self::PromptsGet,
        Self::CompletionComplete,
        Self::LoggingSetLevel,
        Self::TasksGet,
        Self::TasksCancel,
        Self::TasksResult,
        Self::TasksList,
        Self::TasksUpdate,
        Self::SubscriptionsListen,
        Self::SkillsList,
        Self::SkillsGet,
        Self::SamplingCreateMessage,
        Self::RootsList,
        Self::ElicitationCreate,
        Self::NotificationsInitialized,
        Self::NotificationsCancelled,
        Self::NotificationsProgress,
        Self::NotificationsMessage,
        Self::NotificationsRootsListChanged,
        Self::NotificationsResourcesUpdated,
        Self::NotificationsResourcesListChanged,
        Self::NotificationsToolsListChanged,
        Self::NotificationsPromptsListChanged,
        Self::NotificationsElicitationComplete,
        Self::NotificationsTasksStatus,
        Self::NotificationsTasks,
        Self::NotificationsSubscriptionsAcknowledged,
    ];

    /// Reads a decoded method name; never fails.
    #[must_use]
    pub fn from_name(name: Cow<'a, str>) -> Self {
        match name.as_ref() {
            "initialize" => Self::Initialize,
            "ping" => Self::Ping,
            "server/discover" => Self::ServerDiscover,
            "tools/list" => Self::ToolsList,
            "tools/call" => Self::ToolsCall,
            "resources/list" => Self::ResourcesList,
            "resources/templates/list" => Self::ResourcesTemplatesList,
            "resources/read" => Self::ResourcesRead,
            "resources/subscribe" => Self::ResourcesSubscribe,
            "resources/unsubscribe" => Self::ResourcesUnsubscribe,
            "resources/directory/read" => Self::ResourcesDirectoryRead,
            "prompts/list" => Self::PromptsList,
            "prompts/get" => Self::PromptsGet,
            "completion/complete" => Self::CompletionComplete,
            "logging/setLevel" => Self::LoggingSetLevel,
            "tasks/get" => Self::TasksGet,
            "tasks/cancel" => Self::TasksCancel,
            "tasks/result" => Self::TasksResult,
            "tasks/list" => Self::TasksList,
            "tasks/update" => Self::TasksUpdate,
            "subscriptions/listen" => Self::SubscriptionsListen,
            "skills/list" => Self::SkillsList,
            "skills/get" => Self::SkillsGet,
            "sampling/createMessage" => Self::SamplingCreateMessage,
            "roots/list" => Self::RootsList,
            "elicitation/create" => Self::ElicitationCreate,
            other => match other.strip_prefix("notifications/").and_then(Self::notification) {
                Some(method) => method,
                None => Self::Other(name),
            },
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::ServerDiscover => "server/discover",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::ResourcesList => "resources/list",
            Self::ResourcesTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::ResourcesSubscribe => "resources/subscribe",
            Self::ResourcesUnsubscribe => "resources/unsubscribe",
            Self::ResourcesDirectoryRead => "resources/directory/read",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::CompletionComplete => "completion/complete",
            Self::LoggingSetLevel => "logging/setLevel",
            Self::TasksGet => "tasks/get",
            Self::TasksCancel => "tasks/cancel",
            Self::TasksResult => "tasks/result",
            Self::TasksList => "tasks/list",
            Self::TasksUpdate => "tasks/update",
            Self::SubscriptionsListen => "subscriptions/listen",
            Self::SkillsList => "skills/list",
            Self::SkillsGet => "skills/get",
            Self::SamplingCreateMessage => "sampling/createMessage",
            Self::RootsList => "roots/list",
            Self::ElicitationCreate => "elicitation/create",
            Self::NotificationsInitialized => "notifications/initialized",
            Self::NotificationsCancelled => "notifications/cancelled",
            Self::NotificationsProgress => "notifications/progress",
            Self::NotificationsMessage => "notifications/message",
            Self::NotificationsRootsListChanged => "notifications/roots/list_changed",
            Self::NotificationsResourcesUpdated => "notifications/resources/updated",
            Self::NotificationsResourcesListChanged => "notifications/resources/list_changed",
            Self::NotificationsToolsListChanged => "notifications/tools/list_changed",
            Self::NotificationsPromptsListChanged => "notifications/prompts/list_changed",
            Self::NotificationsElicitationComplete => "notifications/elicitation/complete",
            Self::NotificationsTasksStatus => "notifications/tasks/status",
            Self::NotificationsTasks => "notifications/tasks",
            Self::NotificationsSubscriptionsAcknowledged => {
                "notifications/subscriptions/acknowledged"
            }
            Self::Other(name) => name,
        }
    }

    /// Whether this crate knows the method.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether the method is a notification by its name; a message of it then has no id.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        self.name().starts_with("notifications/")
    }

    /// What the method does.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::ResourcesRead
            | Self::ResourcesDirectoryRead
            | Self::PromptsGet
            | Self::CompletionComplete
            | Self::SkillsGet
            | Self::TasksGet
            | Self::TasksResult => Class::Read,
            Self::ToolsCall | Self::TasksCancel | Self::TasksUpdate => Class::Write,
            Self::ToolsList
            | Self::ResourcesList
            | Self::ResourcesTemplatesList
            | Self::PromptsList
            | Self::TasksList
            | Self::SkillsList => Class::List,
            Self::ResourcesSubscribe | Self::ResourcesUnsubscribe | Self::SubscriptionsListen => {
                Class::Subscribe
            }
            Self::Initialize
            | Self::Ping
            | Self::ServerDiscover
            | Self::LoggingSetLevel
            | Self::NotificationsInitialized
            | Self::NotificationsCancelled => Class::Session,
            Self::SamplingCreateMessage | Self::RootsList | Self::ElicitationCreate => Class::Ask,
            Self::Other(_) => Class::Unknown,
            _ => Class::Notice,
        }
    }

    /// Who sends the method; `None` for one we do not know.
    #[must_use]
    pub fn sender(&self) -> Option<Sender> {
        Some(match self {
            Self::Ping
            | Self::TasksGet
            | Self::TasksCancel
            | Self::TasksResult
            | Self::TasksList
            | Self::NotificationsCancelled
            | Self::NotificationsProgress
            | Self::NotificationsTasksStatus => Sender::Either,
            Self::SamplingCreateMessage
            | Self::RootsList
            | Self::ElicitationCreate
            | Self::NotificationsMessage
            | Self::NotificationsResourcesUpdated
            | Self::NotificationsResourcesListChanged
            | Self::NotificationsToolsListChanged
            | Self::NotificationsPromptsListChanged
            | Self::NotificationsElicitationComplete
            | Self::NotificationsTasks
            | Self::NotificationsSubscriptionsAcknowledged => Sender::Server,
            Self::Other(_) => return None,
            _ => Sender::Client,
        })
    }

    /// The same method, holding on to nothing.
    #[must_use]
    pub fn into_owned(self) -> Method<'static> {
        Method::from_name(Cow::Owned(self.name().to_owned()))
    }

    fn notification(rest: &str) -> Option<Self> {
        Some(match rest {
            "initialized" => Self::NotificationsInitialized,
            "cancelled" => Self::NotificationsCancelled,
            "progress" => Self::NotificationsProgress,
            "message" => Self::NotificationsMessage,
            "roots/list_changed" => Self::NotificationsRootsListChanged,
            "resources/updated" => Self::NotificationsResourcesUpdated,
            "resources/list_changed" => Self::NotificationsResourcesListChanged,
            "tools/list_changed" => Self::NotificationsToolsListChanged,
            "prompts/list_changed" => Self::NotificationsPromptsListChanged,
            "elicitation/complete" => Self::NotificationsElicitationComplete,
            "tasks/status" => Self::NotificationsTasksStatus,
            "tasks" => Self::NotificationsTasks,
            "subscriptions/acknowledged" => Self::NotificationsSubscriptionsAcknowledged,
            _ => return None,
        })
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
