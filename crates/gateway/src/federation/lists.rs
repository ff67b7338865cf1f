//! Lists of all members as one, in the order of the configuration. Items are passed on as they came,
//! but for the names that get a prefix. Refuses to hold a list: every request asks the members.

use super::ask::Answer;
use super::cursor::Cursor;
use super::discover::{FORBIDDEN, SERVER_INFO, UNAVAILABLE, error_code};
use super::given::Given;
use super::names::Form;
use super::rewrite::{self, PARAMS, RESULT};
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::refusal::{Cause, json_response};
use bytes::Bytes;
use http::{Response, StatusCode};
use mcp::edit::{Step, find, quoted};
use mcp::{Method, Request, RequestId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    /// The member of the result that holds the items.
    member: &'static str,
    /// The member of an item that holds its name.
    key: &'static str,
    form: Form,
    /// Where servers that have such a list declare it among their capabilities.
    capability: &'static [&'static str],
}

/// What one server gives to a list.
enum Share {
    Items(Page),
    /// It has no such list.
    Nothing,
    /// A policy lets the caller not see it.
    Forbidden,
    Missing,
}

/// A page of one server.
struct Page {
    items: Vec<Bytes>,
    next: Option<String>,
    public: bool,
    ttl_ms: u64,
}

/// The pages of all, put together.
#[derive(Default)]
struct Merged<'f> {
    pages: Vec<Page>,
    next: BTreeMap<String, String>,
    missing: Vec<&'f str>,
    forbidden: Vec<&'f str>,
}

impl List {
    pub(super) fn of(method: &Method<'_>) -> Option<Self> {
        let (member, key, form, capability) = match method {
            Method::ToolsList => ("tools", "name", Form::Name, TOOLS),
            Method::PromptsList => ("prompts", "name", Form::Name, PROMPTS),
            Method::ResourcesList => ("resources", "uri", Form::Uri, RESOURCES),
            Method::ResourcesTemplatesList => {
                ("resourceTemplates", "uriTemplate", Form::Uri, RESOURCES)
            }
            Method::TasksList => ("tasks", "taskId", Form::Id, TASKS),
            Method::SkillsList => ("skills", "uri", Form::Uri, SKILLS),
            _ => return None,
        };
        Some(Self { member, key, form, capability })
    }

    /// Reads the items of an answer; `None` when there is one that cannot be named.
    fn page(self, answer: &Answer, prefix: &str) -> Option<Page> {
        let path = [RESULT, Step::Key(self.member)];
        let list = find(&answer.message, &path).ok()?;
        let [list] = list.as_slice() else { return None };
        let items = find(list.raw.as_bytes(), &[Step::Each]).ok()?;
        let items: Option<Vec<Bytes>> = match list.raw.starts_with('[') {
            true => items.iter().map(|item| self.item(item.raw, prefix)).collect(),
            false => None,
        };
        let text = |key| {
            let found = find(&answer.message, &[RESULT, Step::Key(key)]).ok()?;
            serde_json::from_str(found.first()?.raw).ok()
        };
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        Some(Page {
            items: items?,
            next: text("nextCursor").and_then(|next: Value| Some(next.as_str()?.to_owned())),
            public: text("cacheScope").is_some_and(|scope: Value| scope == "public"),
            ttl_ms: text("ttlMs").as_ref().map_or(0, number),
        })
    }

    fn item(self, raw: &str, prefix: &str) -> Option<Bytes> {
        let names = find(raw.as_bytes(), &[Step::Key(self.key)]).ok()?;
        let [name] = names.as_slice() else { return None };
        serde_json::from_str::<String>(name.raw).ok()?;
        rewrite::item(raw, self.form, self.key, prefix)
    }
}

impl Federation {
    pub(super) async fn list(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
        list: List,
    ) -> Result<Response<ReplyBody>, Cause> {
        let from = match request.params.has_cursor {
            true => Some(self.cursor(whole, request).ok_or(Cause::BadCursor)?),
            false => None,
        };
        let mut merged = Merged::default();
        let mut asking = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let cursor = from.as_ref().map(|from| from.get(&member.prefix));
            if cursor == Some(None) {
                continue;
            }
            let body = whole.body_from(cursor.flatten().map(String::as_str));
            let part = Whole { body, ..whole.clone() };
            let (federation, capability) = (Arc::clone(self), list.capability);
            asking.push((place, async move { federation.given(&part, place, capability).await }));
        }
        let mut others = Vec::new();
        for (place, given) in self.each(asking).await {
            let Some(member) = self.members.get(place) else { continue };
            let answer = match given {
                Some(Given::NotOffered) => continue,
                Some(Given::Answer(answer)) => Some(answer),
                None => None,
            };
            match answer.as_ref().map_or(Share::Missing, |a| share(a, list, &member.prefix)) {
                Share::Items(page) => merged.add(&member.prefix, page),
                Share::Nothing => others.push((place, answer)),
                Share::Forbidden => {
                    merged.forbidden.push(&member.prefix);
                    others.push((place, answer));
                }
                Share::Missing => {
                    merged.missing.push(&member.prefix);
                    others.push((place, answer));
                }
            }
        }
        if merged.pages.is_empty() && !others.is_empty() {
            return self.relay_first(whole, others);
        }
        let method = request.method.name();
        let result = self.merged_result(merged, list, (method, whole.modern));
        Ok(json_response(StatusCode::OK, message(&request.id, &result)))
    }

    /// Where the list goes on, by the client's cursor; every server in it must be one of ours.
    fn cursor(&self, whole: &Whole, request: &Request<'_>) -> Option<BTreeMap<String, String>> {
        let found = find(&whole.body, CURSOR).ok()?;
        let text: String = serde_json::from_str(found.first()?.raw).ok()?;
        let from = Cursor::read(request.method.name(), &text)?;
        from.keys().all(|prefix| self.member(prefix).is_some()).then_some(from)
    }

    fn merged_result(
        &self,
        merged: Merged<'_>,
        list: List,
        (method, modern): (&str, bool),
    ) -> String {
        let Merged { pages, next, missing, forbidden } = merged;
        let ttl = pages.iter().map(|page| page.ttl_ms).min().unwrap_or_default();
        // Another caller may see what is forbidden to this one.
        let public =
            missing.is_empty() && forbidden.is_empty() && pages.iter().all(|page| page.public);
        let mut out = String::from("{");
        if modern {
            let scope = if public { "public" } else { "private" };
            out += &format!(r#""resultType":"complete","ttlMs":{ttl},"cacheScope":"{scope}","#);
        }
        let items = pages.iter().flat_map(|page| &page.items);
        let items: Vec<_> = items.map(|item| String::from_utf8_lossy(item)).collect();
        out += &format!(r#""{}":[{}]"#, list.member, items.join(","));
        if let Some(cursor) = Cursor::new(method, next) {
            out += &format!(r#","nextCursor":{}"#, quoted(&cursor.to_text()));
        }
        let mut meta = serde_json::Map::new();
        if modern {
            meta.insert(SERVER_INFO.to_owned(), self.server_info());
        }
        if !missing.is_empty() {
            meta.insert(UNAVAILABLE.to_owned(), missing.into());
        }
        if !forbidden.is_empty() {
            meta.insert(FORBIDDEN.to_owned(), forbidden.into());
        }
        if !meta.is_empty() {
            out += &format!(r#","_meta":{}"#, Value::Object(meta));
        }
        out.push('}');
        out
    }
}

impl Whole {
    /// The request as a member gets it, for a page of its own.
    fn body_from(&self, cursor: Option<&str>) -> Bytes {
        let Some(cursor) = cursor else { return self.body.clone() };
        let changed = rewrite::change(&self.body, CURSOR, |_| Some(quoted(cursor)));
        changed.unwrap_or_else(|| self.body.clone())
    }
}

impl Merged<'_> {
    fn add(&mut self, prefix: &str, page: Page) {
        if let Some(next) = &page.next {
            self.next.insert(prefix.to_owned(), next.clone());
        }
        self.pages.push(page);
    }
}

/// What an answer gives to a list. An error that says that there is no such list, or that the caller may
/// not see it, is no failure of the server.
fn share(answer: &Answer, list: List, prefix: &str) -> Share {
    if let Some(page) = list.page(answer, prefix) {
        return Share::Items(page);
    }
    match error_code(&answer.message) {
        Some(mcp::code::METHOD_NOT_FOUND) => Share::Nothing,
        Some(FORBIDS) => Share::Forbidden,
        _ => Share::Missing,
    }
}

fn message(id: &RequestId, result: &str) -> Bytes {
    let raw = serde_json::value::RawValue::from_string(result.to_owned()).unwrap_or_default();
    Bytes::from(mcp::build::result_response(id, &raw))
}

const CURSOR: &[Step<'static>] = &[PARAMS, Step::Key("cursor")];
/// The code of [`Cause::Forbidden`].
const FORBIDS: i64 = 40_300;
const TOOLS: &[&str] = &["tools"];
const PROMPTS: &[&str] = &["prompts"];
const RESOURCES: &[&str] = &["resources"];
const TASKS: &[&str] = &["tasks"];
const SKILLS: &[&str] = &["extensions", "io.modelcontextprotocol/skills"];
