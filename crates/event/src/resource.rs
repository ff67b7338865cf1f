//! What a call touches. Names come from the decoded message body, never from headers.

use serde::{Deserialize, Serialize};

/// The thing a call acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What the method does, for failure policy and searches.
    pub class: MethodClass,
    /// What sort of thing `names` name.
    pub kind: ResourceKind,
    /// The protocol method, such as `tools/call`, or `http/get`, `http/delete` for the session
    /// operations of the HTTP transport that carry no message.
    pub method: String,
    /// Tool name, prompt name or resource URIs; opaque handles (task ids) appear as
    /// `sha256:` and the first 32 hex digits of their digest, since they can work like passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Name of the upstream server in the gateway's configuration.
    pub server: String,
}

/// What sort of thing a call names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// The client, asked by a server (sampling, elicitation, roots).
    Client,
    /// A prompt.
    Prompt,
    /// A resource, by URI.
    Resource,
    /// The server as a whole (lists, discovery, session).
    Server,
    /// A task, by handle.
    Task,
    /// A tool.
    Tool,
}

impl ResourceKind {
    /// The word used in events, policies and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Server => "server",
            Self::Task => "task",
            Self::Tool => "tool",
        }
    }
}

/// What a method does to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodClass {
    /// Names what there is.
    List,
    /// Returns content.
    Read,
    /// Opens, keeps or closes the conversation.
    Session,
    /// May change something; unknown methods count as this.
    Write,
}
