//! `server/discover` of the stateless revisions, and how what several servers say of themselves becomes
//! one statement. What stands here is written anew, since nobody wrote it before.

use super::ask::Answer;
use super::era::Era;
use super::opening::result_message;
use super::{Federation, Whole, ask, older};
use crate::body::ReplyBody;
use crate::refusal::{Cause, json_response};
use http::{Method as HttpMethod, Response, StatusCode};
use mcp::{RequestId, Revision};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a member says of itself to a stateless client.
enum Told {
    /// Its answer to `server/discover`.
    Stateless(Value),
    /// Its answer to `initialize`.
    Sessions(Value),
    /// Something else.
    Other(Answer),
}

impl Federation {
    pub(super) async fn discover(
        self: &Arc<Self>,
        whole: &Whole,
        id: &RequestId,
    ) -> Result<Response<ReplyBody>, Cause> {
        let asking = (0..self.members.len()).map(|place| {
            let (federation, whole, id) = (Arc::clone(self), whole.clone(), id.clone());
            (place, async move { federation.told(&whole, place, &id).await })
        });
        let (mut results, mut missing, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut stateless, mut sessions) = (Vec::new(), false);
        for (place, told) in self.each(asking.collect()).await {
            let Some(member) = self.members.get(place) else { continue };
            let result = match told {
                Some(Told::Stateless(result)) => {
                    stateless.push(result.clone());
                    result
                }
                Some(Told::Sessions(result)) => {
                    sessions = true;
                    let own = result.get("capabilities").map(older::capabilities);
                    json!({"capabilities": own, "instructions": result.get("instructions")})
                }
                Some(Told::Other(answer)) => {
                    missing.push(member.prefix.as_str());
                    others.push((place, Some(answer)));
                    continue;
                }
                None => {
                    missing.push(member.prefix.as_str());
                    others.push((place, None));
                    continue;
                }
            };
            results.push((member.prefix.as_str(), result));
        }
        if results.is_empty() {
            return self.relay_first(whole, others);
        }
        // What is said in sessions is not said to be kept.
        let ttl = if sessions { 0 } else { least_ttl(stateless.iter()) };
        let mut out = json!({
            "resultType": "complete",
            "supportedVersions": common_versions(&stateless),
            "capabilities": union(results.iter().map(|(_, result)| &result["capabilities"])),
            "ttlMs": ttl,
            "cacheScope": "private",
            "_meta": {SERVER_INFO: self.server_info()},
        });
        put(&mut out, "instructions", instructions(&results));
        let out = with_unavailable(out, &missing);
        Ok(json_response(StatusCode::OK, result_message(id, &out)))
    }

    async fn told(&self, whole: &Whole, place: usize, id: &RequestId) -> Option<Told> {
        let member = self.members.get(place)?;
        let mut older = None;
        if self.eras.of(&member.prefix) != Some(Era::Sessions) {
            let part = whole.part(HttpMethod::POST, whole.headers_for(None), whole.body.clone());
            let answer = member.backend.ask_single(part).await;
            let answer = ask::whole(answer, Some(id), self.limits.reply_bytes_max).await?;
            match Era::shown_by(&answer) {
                Some(era) => self.eras.learn(&member.prefix, era),
                None => return Some(Told::Other(answer)),
            }
            match result_of(&answer.message) {
                _ if self.eras.of(&member.prefix) == Some(Era::Sessions) => older = Some(answer),
                Some(result) => return Some(Told::Stateless(result)),
                None => return Some(Told::Other(answer)),
            }
        }
        let inner = self.in_held_session(whole).ok()?;
        match self.link(&inner, place).await {
            Some(link) => Some(Told::Sessions((*link.about).clone())),
            None => older.map(Told::Other),
        }
    }
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

/// The revisions that all stateless members speak, in the order of the first; when there are none, the
/// one that the gateway speaks for those of the older revisions.
fn common_versions(results: &[Value]) -> Vec<Value> {
    let of = |result: &Value| result["supportedVersions"].as_array().cloned().unwrap_or_default();
    let mut lists = results.iter().map(of);
    let own = || vec![Value::from(Revision::V2026_07_28.name())];
    let mut common = lists.next().unwrap_or_else(own);
    for list in lists {
        common.retain(|version| list.contains(version));
    }
    common
}

/// Where results and notices name servers whose part is missing.
pub(super) const UNAVAILABLE: &str = "dev.countersign/unavailable";
/// Where lists name servers whose part a policy keeps from the caller.
pub(super) const FORBIDDEN: &str = "dev.countersign/forbidden";
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
        assert_eq!(common_versions(&[a.clone(), b.clone()]), [json!("y")]);
        assert_eq!(common_versions(&[]), [json!("2026-07-28")]);
        assert_eq!(instructions(&results).unwrap(), "a:\nA");
        assert_eq!(least_ttl([&a, &b].into_iter()), 3);
        assert_eq!(least_ttl([&a, &json!({})].into_iter()), 0);
        let marked = with_unavailable(json!({}), &["b"]);
        assert_eq!(marked, json!({"_meta": {"dev.countersign/unavailable": ["b"]}}));
        assert_eq!(with_unavailable(json!({}), &[]), json!({}));
    }
}
