//! `server/discover` of the stateless revisions, and how what several servers say of themselves becomes
//! one statement. What stands here is written anew, since nobody wrote it before.

use super::ask::Answer;
use super::opening::result_message;
use super::{Federation, Whole};
use crate::body::ReplyBody;
use crate::refusal::{Cause, json_response};
use http::{Method as HttpMethod, Response, StatusCode};
use mcp::RequestId;
use mcp::code::{HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_REVISION};
use serde_json::{Map, Value, json};

impl Federation {
    pub(super) async fn discover(
        &self,
        whole: &Whole,
        id: &RequestId,
    ) -> Result<Response<ReplyBody>, Cause> {
        let part = || whole.part(HttpMethod::POST, whole.headers_for(None), whole.body.clone());
        let parts = (0..self.members.len()).map(|place| (place, part()));
        let mut answers = self.ask_each(parts.collect(), Some(id)).await;
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for (place, answer) in &answers {
            let Some(member) = self.members.get(*place) else { continue };
            let result = answer.as_ref().and_then(|answer| result_of(&answer.message));
            match result {
                Some(result) => results.push((member.prefix.as_str(), result)),
                None => missing.push(member.prefix.as_str()),
            }
        }
        if results.is_empty() {
            return self.relay_first(whole, answers);
        }
        if let Some(older) = answers.iter().position(|(_, a)| a.as_ref().is_some_and(is_older)) {
            let (_, answer) = answers.swap_remove(older);
            return answer.map(|answer| whole.relay(answer)).ok_or_else(|| self.down(0));
        }
        let mut out = json!({
            "resultType": "complete",
            "supportedVersions": common_versions(&results),
            "capabilities": union(results.iter().map(|(_, result)| &result["capabilities"])),
            "ttlMs": least_ttl(results.iter().map(|(_, result)| result)),
            "cacheScope": "private",
            "_meta": {SERVER_INFO: self.server_info()},
        });
        put(&mut out, "instructions", instructions(&results));
        let out = with_unavailable(out, &missing);
        Ok(json_response(StatusCode::OK, result_message(id, &out)))
    }
}

/// Whether an answer to `server/discover` says that the server speaks older revisions only: a client that
/// gets it goes on with `initialize`, which all servers of both eras understand (2026-07-28, versioning,
/// "Backward Compatibility"). One such server decides for the endpoint, so that none is left out.
fn is_older(answer: &Answer) -> bool {
    let code = error_code(&answer.message);
    let is_modern = matches!(
        code,
        Some(HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_REVISION | 0..)
    );
    answer.status.is_client_error()
        && !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && !is_modern
}

/// The result of a response.
pub(super) fn result_of(message: &[u8]) -> Option<Value> {
    parsed(message)?.get_mut("result").map(Value::take).filter(Value::is_object)
}

pub(super) fn parsed(message: &[u8]) -> Option<Value> {
    serde_json::from_slice(message).ok()
}

/// Names the members that are missing in a result.
pub(super) fn with_unavailable(mut result: Value, missing: &[&str]) -> Value {
    if missing.is_empty() {
        return result;
    }
    if let Some(members) = result.as_object_mut() {
        put(members.entry("_meta").or_insert(json!({})), UNAVAILABLE, Some(missing));
    }
    result
}

/// Adds a member to an object, when there is one to add.
pub(super) fn put(object: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(key.to_owned(), value.into());
    }
}

/// The code of an error response.
pub(super) fn error_code(message: &[u8]) -> Option<i64> {
    parsed(message)?.pointer("/error/code")?.as_i64()
}

/// Everything that any of them has: objects member by member, `true` over `false`, else the first.
pub(super) fn union<'v>(values: impl Iterator<Item = &'v Value>) -> Value {
    let mut out = Value::Object(Map::new());
    values.filter(|value| value.is_object()).for_each(|value| unite(&mut out, value, UNION_DEPTH));
    out
}

/// What the servers tell about themselves, one after the other, each under its prefix.
pub(super) fn instructions(results: &[(&str, Value)]) -> Option<String> {
    let told = results.iter().filter_map(|(prefix, result)| {
        let text = result["instructions"].as_str().filter(|text| !text.is_empty())?;
        Some(format!("{prefix}:\n{text}"))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("\n\n"))
}

/// The least `ttlMs`; absent means that nothing may be kept.
pub(super) fn least_ttl<'v>(results: impl Iterator<Item = &'v Value>) -> u64 {
    results.map(|result| result["ttlMs"].as_u64().unwrap_or_default()).min().unwrap_or_default()
}

fn unite(into: &mut Value, from: &Value, depth: usize) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) if 0 < depth => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(held) => unite(held, value, depth - 1),
                    None => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into @ Value::Bool(false), Value::Bool(true)) => *into = Value::Bool(true),
        _ => {}
    }
}

/// The revisions that all of them speak, in the order of the first.
fn common_versions(results: &[(&str, Value)]) -> Vec<Value> {
    let of = |result: &Value| result["supportedVersions"].as_array().cloned().unwrap_or_default();
    let mut lists = results.iter().map(|(_, result)| of(result));
    let mut common = lists.next().unwrap_or_default();
    for list in lists {
        common.retain(|version| list.contains(version));
    }
    common
}

/// Where results and notices name servers whose part is missing.
pub(super) const UNAVAILABLE: &str = "dev.countersign/unavailable";
pub(super) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Levels of capabilities that are united; what is deeper is the first server's.
const UNION_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::{common_versions, instructions, least_ttl, union, with_unavailable};
    use serde_json::json;

    #[test]
    fn capabilities_of_all_come_together() {
        let all = [
            json!({"tools": {"listChanged": false}, "logging": {}}),
            json!(null),
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}}),
            json!({"resources": {"subscribe": false}}),
        ];
        let wanted = json!({"tools": {"listChanged": true}, "logging": {},
            "resources": {"subscribe": true}});
        assert_eq!(union(all.iter()), wanted);
    }

    #[test]
    fn statements_are_joined() {
        let a = json!({"supportedVersions": ["x", "y"], "instructions": "A", "ttlMs": 5});
        let b = json!({"supportedVersions": ["y", "z"], "instructions": "", "ttlMs": 3});
        let results = [("a", a.clone()), ("b", b.clone())];
        assert_eq!(common_versions(&results), [json!("y")]);
        assert_eq!(instructions(&results).unwrap(), "a:\nA");
        assert_eq!(least_ttl([&a, &b].into_iter()), 3);
        assert_eq!(least_ttl([&a, &json!({})].into_iter()), 0);
        let marked = with_unavailable(json!({}), &["b"]);
        assert_eq!(marked, json!({"_meta": {"dev.countersign/unavailable": ["b"]}}));
        assert_eq!(with_unavailable(json!({}), &[]), json!({}));
    }
}
