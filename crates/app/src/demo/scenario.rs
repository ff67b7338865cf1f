//! The scenario of the demo: what a support agent, a reporting job, a stranger and a forger do, played
//! with the official SDK client over HTTP in both protocol eras.

use super::sample::HANDBOOK;
use crate::output;
use anyhow::bail;
use identity::dev::TokenIssuer;
use rmcp::model::{
    CallToolRequestParams, ErrorData, GetPromptRequestParams, ProtocolVersion,
    ReadResourceRequestParams,
};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::json;

/// Whom tokens of the demo are for.
const LIFETIME_S: u32 = 900;

/// Where to call, and who vouches for callers.
pub(crate) struct Stage<'a> {
    pub(crate) url: &'a str,
    pub(crate) issuer: &'a TokenIssuer,
    /// A key pair that claims to be the issuer.
    pub(crate) forger: &'a TokenIssuer,
    pub(crate) now: event::Time,
}

type Client = RunningService<RoleClient, ()>;

impl Stage<'_> {
    /// Plays everything; each step checks that what happened is what should.
    pub(crate) async fn play(&self) -> anyhow::Result<()> {
        self.support_agent().await?;
        self.reporting_job().await?;
        self.strangers().await
    }

    /// A session of the 2025-11-25 revision: permitted calls, a tool error, a forbidden call.
    async fn support_agent(&self) -> anyhow::Result<()> {
        let token = self.issuer.token("support-agent", self.url, self.now, LIFETIME_S)?;
        let client = self.connect(Some(&token), ClientLifecycleMode::Initialize).await?;
        let tools = client.list_all_tools().await?;
        step("support-agent lists tools", &format!("{} tools", tools.len()))?;
        let sql = "SELECT subject FROM tickets WHERE open = 1";
        let rows = call(&client, "query", json!({ "sql": sql })).await?;
        step("support-agent reads the open tickets", &rows)?;
        let error = call(&client, "query", json!({ "sql": "SELECT * FROM salaries" })).await?;
        step("support-agent asks for a table that is not there", &error)?;
        let uri = ReadResourceRequestParams::new(HANDBOOK);
        client.read_resource(uri).await?;
        step("support-agent reads the handbook", "file returned")?;
        let closed = call(&client, "close_ticket", json!({ "id": 11 })).await?;
        step("support-agent closes a ticket", &closed)?;
        client.cancel().await?;
        Ok(())
    }

    /// Calls of the 2026-07-28 revision, without a session: the same tools, other rights.
    async fn reporting_job(&self) -> anyhow::Result<()> {
        let token = self.issuer.token("reporting-job", self.url, self.now, LIFETIME_S)?;
        let modern = ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        };
        let client = self.connect(Some(&token), modern).await?;
        let sql = "SELECT plan, count(*) FROM customers GROUP BY plan";
        let rows = call(&client, "query", json!({ "sql": sql })).await?;
        step("reporting-job counts customers", &rows)?;
        client.get_prompt(GetPromptRequestParams::new("triage")).await?;
        step("reporting-job takes a prompt", "prompt returned")?;
        match call(&client, "close_ticket", json!({ "id": 13 })).await {
            Err(Failed::Refused(error)) => {
                step("reporting-job tries to close a ticket", &refusal(&error))?;
            }
            Ok(_) | Err(Failed::Other(_)) => bail!("a forbidden call was not refused"),
        }
        client.cancel().await?;
        Ok(())
    }

    /// Callers that nobody knows.
    async fn strangers(&self) -> anyhow::Result<()> {
        if self.connect(None, ClientLifecycleMode::Initialize).await.is_ok() {
            bail!("a caller without a token was let in");
        }
        step("somebody calls without a token", "refused: 401")?;
        let forged = self.forger.token("support-agent", self.url, self.now, LIFETIME_S)?;
        if self.connect(Some(&forged), ClientLifecycleMode::Initialize).await.is_ok() {
            bail!("a forged token was accepted");
        }
        step("somebody forges a token of support-agent", "refused: 401")
    }

    async fn connect(
        &self,
        token: Option<&str>,
        lifecycle: ClientLifecycleMode,
    ) -> anyhow::Result<Client> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url);
        if let Some(token) = token {
            config = config.auth_header(token);
        }
        let transport = StreamableHttpClientTransport::from_config(config);
        Ok(().serve_with_lifecycle(transport, lifecycle).await?)
    }
}

/// Why a tool call brought no result.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("refused: {}", .0.message)]
    Refused(ErrorData),
    #[error(transparent)]
    Other(#[from] ServiceError),
}

/// Calls a tool; the first line of its text, whether it succeeded or not.
async fn call(
    client: &Client,
    tool: &'static str,
    arguments: serde_json::Value,
) -> Result<String, Failed> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = client.call_tool(request).await.map_err(|error| match error {
        ServiceError::McpError(error) => Failed::Refused(error),
        other => Failed::Other(other),
    })?;
    let text = result.content.first().and_then(|c| c.as_text()).map(|t| t.text.clone());
    let text = text.unwrap_or_default().replace('\n', " / ");
    let word = if result.is_error == Some(true) { "tool error: " } else { "" };
    Ok(format!("{word}{text}"))
}

fn refusal(error: &ErrorData) -> String {
    format!("refused: {} (code {})", error.message, error.code.0)
}

fn step(what: &str, result: &str) -> anyhow::Result<()> {
    output::line(format_args!("  {what:<52} {}", event::bounded(result, 80)))?;
    Ok(())
}
