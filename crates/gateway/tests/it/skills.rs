//! Skills of several servers behind one endpoint (extension `io.modelcontextprotocol/skills`): lists of
//! them, single ones, and the directories that they consist of.

use crate::client::Ask;
use crate::messages::{legacy, modern};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Answer, Seen, Upstream, empty, json, typed, with};
use event::Status;
use http::Method;
use serde_json::{Value, json as value};

/// What a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// Skills, in both eras.
    Skills,
    /// Skills, in sessions only.
    SkillsInSessions,
    /// No skills, in both eras.
    Nothing,
    /// No skills, in sessions only.
    NothingInSessions,
}

impl Knows {
    fn sessions_only(self) -> bool {
        matches!(self, Self::SkillsInSessions | Self::NothingInSessions)
    }

    fn skills(self) -> bool {
        matches!(self, Self::Skills | Self::SkillsInSessions)
    }

    fn capabilities(self) -> Value {
        let skills = value!({"extensions": {"io.modelcontextprotocol/skills": {}}});
        if self.skills() { skills } else { value!({"tools": {}}) }
    }
}

async fn server(knows: Knows) -> Upstream {
    Upstream::start(move |seen| async move { Some(answer(&seen, knows)) }).await
}

fn answer(seen: &Seen, knows: Knows) -> Answer {
    let message = seen.message().unwrap_or_default();
    let (id, params) = (&message["id"], &message["params"]);
    let in_session = seen.headers.contains_key("mcp-session-id");
    let result = match seen.rpc_method().as_deref() {
        Some("initialize") => {
            let result = value!({"protocolVersion": "2025-11-25", "capabilities":
                knows.capabilities(), "serverInfo": {"name": "s", "version": "1"}});
            let body = value!({"jsonrpc": "2.0", "id": id, "result": result});
            return with(json(body.to_string()), "mcp-session-id", "s-1");
        }
        _ if knows.sessions_only() && !in_session => {
            return typed(400, "text/plain", "no session");
        }
        Some("notifications/initialized") => return empty(202),
        _ if seen.method == Method::DELETE => return empty(204),
        Some("server/discover") => value!({"resultType": "complete", "ttlMs": 1000,
            "supportedVersions": ["2026-07-28"], "cacheScope": "public",
            "capabilities": knows.capabilities()}),
        Some("skills/list") if knows.skills() => return page(id, params, in_session),
        Some("skills/get") if knows.skills() => value!({"skill": {"uri": params["uri"],
            "resources": [{"uri": "skill://a/x.md", "size": 1}]}}),
        Some("resources/directory/read") if knows.skills() => {
            value!({"resources": [{"uri": format!("{}/y", params["uri"].as_str().unwrap())}]})
        }
        _ => {
            let error = value!({"code": -32601, "message": "no such method"});
            return json(value!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
    };
    json(value!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

/// Two pages, one skill each; what is said of how long it may be kept belongs to the newer era.
fn page(id: &Value, params: &Value, in_session: bool) -> Answer {
    let kept = if in_session { "" } else { r#""ttlMs":500,"cacheScope":"public","# };
    let (skill, next) = match params["cursor"].as_str() {
        None => (
            r#"{ "frontmatter":{"name":"a","n":1.00},"uri":"skill://a/SKILL.md","resources":[{"uri":"skill://a/x.md"}]}"#,
            r#","nextCursor":"p2""#,
        ),
        Some(_) => (r#"{"uri":"skill://b/SKILL.md","resources":"dynamic"}"#, ""),
    };
    json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{kept}"skills":[{skill}]{next}}}}}"#))
}

fn methods(server: &Upstream) -> Vec<String> {
    server.seen().iter().filter_map(Seen::rpc_method).collect()
}

async fn ask(rig: &Rig, ask: Ask) -> Value {
    let reply = rig.send(ask).await;
    assert_eq!(reply.status, 200);
    reply.message().await["result"].take()
}

fn uris(list: &Value) -> Vec<&str> {
    let skills = list["skills"].as_array().unwrap().iter();
    skills.map(|skill| skill["uri"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn skills_of_servers_of_both_eras_are_one_list() {
    let (one, old) = (server(Knows::Skills).await, server(Knows::SkillsInSessions).await);
    let (none, nil) = (server(Knows::Nothing).await, server(Knows::NothingInSessions).await);
    let plan = Plan::http(&one).and("old", old.address).and("none", none.address);
    let rig = plan.and("nil", nil.address).start().await;
    let reply = rig.send(modern("1", "skills/list", None, "")).await;
    let text = String::from_utf8(reply.bytes().await.to_vec()).unwrap();
    for prefix in ["srv", "old"] {
        let item = r#"{ "frontmatter":{"name":"a","n":1.00},"uri":"P+skill://a/SKILL.md","resources":[{"uri":"P+skill://a/x.md"}]}"#;
        assert!(text.contains(&item.replace('P', prefix)), "{text}");
    }
    let message: Value = serde_json::from_str(&text).unwrap();
    let list = &message["result"];
    assert_eq!(uris(list), ["srv+skill://a/SKILL.md", "old+skill://a/SKILL.md"]);
    assert_eq!(list["resultType"], "complete");
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&value!(0), &value!("private")));
    // Servers without skills are none that are missing.
    assert!(list["_meta"].get("dev.countersign/unavailable").is_none(), "{list}");
    let cursor = format!(r#""cursor":{}"#, list["nextCursor"]);
    let rest = ask(&rig, modern("2", "skills/list", None, &cursor)).await;
    assert_eq!(uris(&rest), ["srv+skill://b/SKILL.md", "old+skill://b/SKILL.md"]);
    assert_eq!(
        (&rest["skills"][1]["resources"], rest.get("nextCursor")),
        (&value!("dynamic"), None)
    );
    assert!(!methods(&nil).contains(&"skills/list".to_owned()), "it does not offer them");
    let trail = rig.stop().await;
    let calls = trail.calls("skills/list");
    let at = |server: &str| {
        let of = |call: &&trail::Call<'_>| call.asked.resource.as_ref().unwrap().server == server;
        let statuses = calls.iter().filter(of).map(trail::Call::status);
        statuses.collect::<Vec<_>>()
    };
    assert_eq!((at("srv"), at("old")), (vec![Status::Ok; 2], vec![Status::Ok; 2]));
    assert_eq!((at("none"), at("nil")), (vec![Status::ProtocolError], vec![]));
    let roots: Vec<_> = calls.iter().map(|call| call.asked.root.unwrap()).collect();
    assert!(roots[..3].iter().all(|root| *root == roots[0]) && roots[3] != roots[0]);
    assert_eq!(roots[3], roots[4]);
}

#[tokio::test]
async fn a_skill_is_had_from_its_server_under_its_own_name() {
    let (one, old) = (server(Knows::Skills).await, server(Knows::SkillsInSessions).await);
    let rig = Plan::http(&one).and("old", old.address).start().await;
    for (prefix, server) in [("srv", &one), ("old", &old)] {
        let named = |uri: &str| format!("{prefix}+{uri}");
        let uri = named("skill://a/SKILL.md");
        let get = modern("1", "skills/get", Some(&uri), &format!(r#""uri":"{uri}""#));
        let got = ask(&rig, get).await;
        assert_eq!(got["skill"]["uri"], uri);
        if prefix == "old" {
            assert_eq!((&got["resultType"], &got["ttlMs"]), (&value!("complete"), &value!(0)));
        }
        assert_eq!(got["skill"]["resources"][0]["uri"], named("skill://a/x.md"));
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.message().unwrap()["params"]["uri"], "skill://a/SKILL.md");
        let uri = named("skill://a/dir");
        let read =
            modern("2", "resources/directory/read", Some(&uri), &format!(r#""uri":"{uri}""#));
        assert_eq!(ask(&rig, read).await["resources"][0]["uri"], named("skill://a/dir/y"));
    }
    assert_eq!(one.seen().pop().unwrap().headers["mcp-name"], "skill://a/dir");
    let trail = rig.stop().await;
    let calls = trail.calls("skills/get");
    let names: Vec<_> = calls
        .iter()
        .map(|call| call.asked.resource.as_ref().unwrap())
        .map(|resource| (resource.server.as_str(), resource.names[0].as_str()))
        .collect();
    assert_eq!(names, [("srv", "skill://a/SKILL.md"), ("old", "skill://a/SKILL.md")]);
}

#[tokio::test]
async fn a_session_lists_the_skills_of_all_and_policies_keep_some_back() {
    let (one, old) = (server(Knows::Skills).await, server(Knows::SkillsInSessions).await);
    let nil = server(Knows::NothingInSessions).await;
    let plan = Plan::http(&one).and("old", old.address).and("nil", nil.address);
    let forbids = r#"forbid (principal == Actor::"ci/bob", action == Action::"skills/list", resource == Server::"old");"#;
    let policy = format!("{}\n@id(\"no-skills\")\n{forbids}", plan.policy);
    let rig = Plan { policy, ..plan }.start().await;
    let session = rig.session().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"skills/list"}"#;
    let list = ask(&rig, legacy(&session, body)).await;
    assert_eq!(uris(&list), ["srv+skill://a/SKILL.md", "old+skill://a/SKILL.md"]);
    assert_eq!((list.get("resultType"), list.get("ttlMs")), (None, None));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"skills/list","params":{{"cursor":{}}}}}"#,
        list["nextCursor"]
    );
    let rest = ask(&rig, legacy(&session, body)).await;
    assert_eq!(uris(&rest), ["srv+skill://b/SKILL.md", "old+skill://b/SKILL.md"]);
    assert!(!methods(&nil).contains(&"skills/list".to_owned()));
    let reply = rig.send_as("bob", modern("3", "skills/list", None, "")).await;
    let list = reply.message().await["result"].take();
    assert_eq!(uris(&list), ["srv+skill://a/SKILL.md"]);
    assert_eq!(list["_meta"]["dev.countersign/forbidden"], value!(["old"]));
    assert_eq!(list["cacheScope"], "private");
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "policy.forbid");
    assert_eq!(trail.refusal().resource.as_ref().unwrap().server, "old");
}
