//! The sample MCP server of the demo: a small database of customers and tickets behind a `query` tool, a
//! tool that changes it, one file, one prompt. Everything in it is made up.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, JsonObject, ListPromptsResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, Prompt, PromptMessage,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
    ResourceContents, Role, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ServerHandler, ServiceExt};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// URI of the one file.
pub(crate) const HANDBOOK: &str = "file:///handbook/escalation.md";

/// Rows that one query returns at most.
const ROWS_MAX: usize = 100;

const SCHEMA: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, plan TEXT, email TEXT);
CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer INTEGER, subject TEXT, open INTEGER);
INSERT INTO customers VALUES
  (1, 'Blue Heron Ltd', 'enterprise', 'ops@blueheron.example'),
  (2, 'Cordwainer & Sons', 'team', 'it@cordwainer.example'),
  (3, 'Dovecote Bakery', 'free', 'hello@dovecote.example');
INSERT INTO tickets VALUES
  (11, 1, 'Login fails after rotation', 1),
  (12, 1, 'Invoice twice', 0),
  (13, 2, 'How to export data', 1);
";

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    database: Arc<Mutex<Connection>>,
}

/// `countersign sample-server`: the sample on standard input and output.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = Sample::new()?.serve(rmcp::transport::stdio()).await?;
        service.waiting().await?;
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

impl Sample {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let database = Connection::open_in_memory()?;
        database.execute_batch(SCHEMA)?;
        Ok(Self { database: Arc::new(Mutex::new(database)) })
    }

    fn query(&self, sql: &str) -> Result<String, String> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = database.prepare(sql).map_err(|e| e.to_string())?;
        if !statement.readonly() {
            return Err("only statements that read are allowed here".to_owned());
        }
        let columns = statement.column_count();
        let names: Vec<&str> = statement.column_names().collect();
        let mut text = names.join(" | ");
        let mut rows = statement.query([]).map_err(|e| e.to_string())?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(|e| e.to_string())? {
            let cells: Vec<String> =
                (0..columns).map(|i| row.get_ref(i).map_or_else(|e| e.to_string(), cell)).collect();
            text.push('\n');
            text.push_str(&cells.join(" | "));
            count += 1;
            if count == ROWS_MAX {
                break;
            }
        }
        Ok(text)
    }

    fn close_ticket(&self, id: i64) -> Result<String, String> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        match database.execute("UPDATE tickets SET open = 0 WHERE id = ?1", [id]) {
            Ok(0) => Err(format!("there is no ticket {id}")),
            Ok(_) => Ok(format!("ticket {id} is closed")),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

fn schema(property: &str, kind: &str, description: &str) -> JsonObject {
    let value = serde_json::json!({
        "type": "object",
        "properties": { property: { "type": kind, "description": description } },
        "required": [property],
    });
    value.as_object().cloned().unwrap_or_default()
}

impl ServerHandler for Sample {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_resources()
                .enable_prompts()
                .build(),
        )
        .with_instructions("Customers and tickets of a company that does not exist")
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![
            Tool::new(
                "query",
                "Read customers and tickets with SQL",
                schema("sql", "string", "a SELECT statement"),
            ),
            Tool::new(
                "close_ticket",
                "Close a ticket",
                schema("id", "integer", "number of the ticket"),
            ),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let argument = |name: &str| request.arguments.as_ref().and_then(|a| a.get(name));
        let done = match request.name.as_ref() {
            "query" => match argument("sql").and_then(|sql| sql.as_str()) {
                Some(sql) => self.query(sql),
                None => Err("`sql` must be a text".to_owned()),
            },
            "close_ticket" => match argument("id").and_then(serde_json::Value::as_i64) {
                Some(id) => self.close_ticket(id),
                None => Err("`id` must be an integer".to_owned()),
            },
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        };
        Ok(match done {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
        }
        .into())
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(HANDBOOK, "escalation.md")]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != HANDBOOK {
            return Err(ErrorData::invalid_params("there is no such resource", None));
        }
        let text = "# Escalation\n\nCall the owner of the service, then write it down.\n";
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, HANDBOOK)]).into())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompt = Prompt::new("triage", Some("Sort the open tickets by urgency"), None);
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != "triage" {
            return Err(ErrorData::invalid_params("there is no such prompt", None));
        }
        let text = "Read the open tickets and sort them by urgency. Close none.";
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }
}
