//! What is permitted, what is forbidden, and on what basis.

use super::{Answer, Change, Engine, Reload, Tally};
use crate::bundle::{Bundle, Source};
use crate::fixture::{agent_for_a_person, bare, full, request, resource};
use crate::problem::Severity;
use crate::question::Question;
use crate::verdict::Verdict;
use crate::vocabulary::Vocabulary;
use crate::{Context, STARTER_POLICY};
use event::{Actor, Basis, Decision, Direction, Effect, Level, Resource, ResourceKind};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn decision_table() {
    let (permit, forbid) =
        ("permit (principal, action, resource)", "forbid (principal, action, resource)");
    let fails = "when { context.request_bytes + 1 > 0 }"; // `full` has the largest number there is
    let never = "when { context.method == \"never\" }";
    let always = "when { context.session }";
    for (policies, basis, determining, errors) in [
        (vec![], Basis::DefaultDeny, "", ""),
        (vec![("a", permit, always)], Basis::Permit, "a", ""),
        (vec![("b", permit, always), ("a", permit, always)], Basis::Permit, "a b", ""),
        (vec![("a", permit, never)], Basis::DefaultDeny, "", ""),
        (vec![("a", permit, always), ("b", permit, never)], Basis::Permit, "a", ""),
        (vec![("a", forbid, never)], Basis::DefaultDeny, "", ""),
        (vec![("a", forbid, always)], Basis::Forbid, "a", ""),
        (vec![("a", permit, always), ("b", forbid, always)], Basis::Forbid, "b", ""),
        (
            vec![("z", forbid, always), ("a", permit, always), ("b", forbid, always)],
            Basis::Forbid,
            "b z",
            "",
        ),
        (vec![("a", permit, always), ("b", forbid, never)], Basis::Permit, "a", ""),
        // Cedar alone would permit the next two: it skips what it cannot evaluate.
        (vec![("a", permit, always), ("b", forbid, fails)], Basis::EvaluationError, "", "b"),
        (vec![("a", permit, always), ("b", permit, fails)], Basis::EvaluationError, "", "b"),
        (vec![("a", permit, fails)], Basis::EvaluationError, "", "a"),
        (vec![("b", forbid, fails), ("a", permit, fails)], Basis::EvaluationError, "", "a b"),
        (vec![("a", forbid, always), ("b", forbid, fails)], Basis::EvaluationError, "a", "b"),
    ] {
        let text: String = policies
            .iter()
            .map(|(id, head, condition)| format!("@id(\"{id}\") {head} {condition};\n"))
            .collect();
        let engine = engine(&text);
        let verdict = ask(&engine, &resource("tools/call", ResourceKind::Tool, &["t"]), full());
        let decision = verdict.decision();
        let permitted = matches!(verdict, Verdict::Permitted(_));
        assert_eq!(permitted, basis == Basis::Permit, "{text}");
        assert_eq!(decision.effect == Effect::Permit, permitted, "{text}");
        assert_eq!(decision.basis, basis, "{text}");
        assert_eq!(decision.determining.join(" "), determining, "{text}");
        assert_eq!(decision.errors.join(" "), errors, "{text}");
        assert_eq!(decision.policy_set, engine.active().digest(), "{text}");
        assert_eq!(decision.schema, engine.schema(), "{text}");
        assert_eq!(decision.engine, engine.name(), "{text}");
    }
}

#[test]
fn decision_names_policies_as_they_name_themselves() {
    let engine = engine(r#"@id("don't; \"ask\"") permit (principal, action, resource);"#);
    let verdict = ask(&engine, &resource("ping", ResourceKind::Server, &[]), full());
    assert_eq!(verdict.decision().determining, [r#"don't; "ask""#]);
}

#[test]
fn decision_names_engine_and_digests() {
    let engine =
        engine("@id(\"a\") permit (principal, action, resource) when { context.session };");
    let verdict = ask(&engine, &resource("ping", ResourceKind::Server, &[]), full());
    let Decision { engine, policy_set, schema, .. } = verdict.decision();
    assert!(engine.starts_with("cedar 4."), "{engine}");
    for digest in [policy_set, schema] {
        let hex = digest.strip_prefix("sha256:").unwrap();
        assert!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    }
    assert_ne!(policy_set, schema);
}

#[test]
fn permit_is_for_the_call_that_was_decided() {
    let engine = engine("@id(\"a\") permit (principal, action == Action::\"ping\", resource);");
    let actor = agent_for_a_person();
    for (method, permitted) in [("ping", true), ("initialize", false)] {
        let resource = resource(method, ResourceKind::Server, &[]);
        let request = request(&actor, &resource, Direction::ToServer, bare());
        match engine.decide(&request) {
            Verdict::Permitted(permit) => {
                assert!(permitted);
                assert_eq!(permit.call(), request.call);
                assert_eq!(permit.decision().determining, ["a"]);
            }
            Verdict::Forbidden(forbidden) => {
                assert!(!permitted);
                assert_eq!(forbidden.call(), request.call);
                assert_eq!(forbidden.reason(), None);
                assert_eq!(forbidden.into_decision().basis, Basis::DefaultDeny);
            }
        }
    }
}

#[test]
fn request_that_does_not_fit_is_forbidden_and_says_why() {
    let engine =
        engine("@id(\"a\") permit (principal, action, resource) when { context.session };");
    let tool = resource("tools/call", ResourceKind::Tool, &[]);
    let Verdict::Forbidden(forbidden) = ask(&engine, &tool, full()) else {
        panic!("a call of no tool was permitted")
    };
    assert_eq!(forbidden.decision().basis, Basis::SchemaError);
    assert!(forbidden.decision().determining.is_empty());
    assert_eq!(
        forbidden.reason(),
        Some("the call acts on a server, but the action `tools/call` does not apply to one")
    );
}

#[test]
fn unknown_methods_are_told_apart_by_name_only() {
    let engine = engine(
        r#"@id("acme") permit (principal, action == Action::"other", resource)
           when { context.method == "acme/frob" };
           @id("to-client") permit (principal, action == Action::"to-client/other", resource)
           when { context.method == "acme/frob" };"#,
    );
    for (method, direction, expected) in [
        ("acme/frob", Direction::ToServer, "acme"),
        ("acme/frob", Direction::ToClient, "to-client"),
        ("acme/other", Direction::ToServer, ""),
        ("other", Direction::ToServer, ""),
        ("", Direction::ToServer, ""),
        ("to-client/other", Direction::ToServer, ""),
        ("to-client/acme/frob", Direction::ToServer, ""),
        ("ACME/FROB", Direction::ToServer, ""),
        ("acme/frob\n", Direction::ToServer, ""),
    ] {
        let actor = match direction {
            Direction::ToServer => agent_for_a_person(),
            Direction::ToClient => Actor::server("tracker"),
        };
        let resource = resource(method, ResourceKind::Server, &[]);
        let verdict = engine.decide(&request(&actor, &resource, direction, bare()));
        assert_eq!(verdict.decision().determining.join(" "), expected, "{method:?} {direction:?}");
    }
}

#[test]
fn every_name_must_be_permitted() {
    let engine = engine(
        r#"@id("public") permit (principal, action, resource is Resource)
           when { resource.uri like "file:///public/*" };
           @id("docs") permit (principal, action, resource == Resource::"tracker/file:///docs/a");
           @id("secret") forbid (principal, action, resource is Resource)
           when { resource.uri like "*secret*" };
           @id("broken") forbid (principal, action, resource is Resource)
           when { resource.uri like "*broken*" && context.request_bytes + 1 < 0 };"#,
    );
    for (names, basis, determining, errors) in [
        (&["file:///public/a"][..], Basis::Permit, "public", ""),
        (&["file:///public/a", "file:///public/b"], Basis::Permit, "public", ""),
        (&["file:///public/a", "file:///docs/a"], Basis::Permit, "docs public", ""),
        (&["file:///public/a", "file:///docs/b"], Basis::DefaultDeny, "", ""),
        (&["file:///docs/b", "file:///public/a"], Basis::DefaultDeny, "", ""),
        (&["file:///public/a", "file:///public/secret"], Basis::Forbid, "secret", ""),
        (&["file:///x", "file:///public/secret"], Basis::Forbid, "secret", ""),
        (&["file:///public/a", "file:///public/broken"], Basis::EvaluationError, "", "broken"),
        (&["file:///secret", "file:///public/broken"], Basis::EvaluationError, "secret", "broken"),
        (&["file:///public/a", "file:///public/a"], Basis::Permit, "public", ""),
    ] {
        let listen = resource("subscriptions/listen", ResourceKind::Resource, names);
        let verdict = ask(&engine, &listen, full());
        let decision = verdict.decision();
        assert_eq!(decision.basis, basis, "{names:?}");
        assert_eq!(decision.determining.join(" "), determining, "{names:?}");
        assert_eq!(decision.errors.join(" "), errors, "{names:?}");
    }
}

#[test]
fn names_match_exactly() {
    let name = "a\"b\\c\nd\u{202e}\u{1f511}*é";
    let cedar = "a\\\"b\\\\c\\nd\\u{202e}\\u{1f511}*é";
    let engine = engine(&format!(
        "@id(\"odd\") permit (principal, action, resource == Tool::\"tracker/{cedar}\");"
    ));
    for (tool, permitted) in [
        (name.to_owned(), true),
        (format!("{name} "), false),
        (name.replace('é', "e\u{301}"), false),
        (name.replace('*', "x"), false),
        (name.to_uppercase(), false),
        (cedar.to_owned(), false),
    ] {
        let verdict = ask(&engine, &resource("tools/call", ResourceKind::Tool, &[&tool]), bare());
        assert_eq!(matches!(verdict, Verdict::Permitted(_)), permitted, "{tool:?}");
    }
    let elsewhere = Resource {
        server: "other".to_owned(),
        ..resource("tools/call", ResourceKind::Tool, &[name])
    };
    assert_eq!(ask(&engine, &elsewhere, bare()).decision().basis, Basis::DefaultDeny);
}

#[test]
fn policies_can_speak_of_circumstances() {
    let engine = engine(
        r#"@id("office") permit (principal, action, resource) when {
             context has peer && context.peer.isInRange(ip("192.0.2.0/24")) &&
             context.time.toTime() >= duration("8h") && context.time < datetime("2027-01-01") &&
             context has region && context.region == "eu" && context.transport == "http" &&
             context has protocol && context.gateway == "gate-1" && context.class == "write"
           };"#,
    );
    let tool = resource("tools/call", ResourceKind::Tool, &["t"]);
    assert_eq!(ask(&engine, &tool, full()).decision().basis, Basis::Permit);
    for changed in [
        bare(),
        Context { peer: None, ..full() },
        Context { peer: Some([198, 51, 100, 1].into()), ..full() },
        Context { region: Some("us"), ..full() },
        Context { time: event::Time::parse("2026-11-22T07:59:59.999Z").unwrap(), ..full() },
        Context { time: event::Time::parse("2027-01-01T08:00:00Z").unwrap(), ..full() },
    ] {
        assert_eq!(
            ask(&engine, &tool, changed).decision().basis,
            Basis::DefaultDeny,
            "{changed:?}"
        );
    }
}

#[test]
fn starter_policy_permits_sessions_and_lists_only() {
    let engine = engine(STARTER_POLICY);
    assert_eq!(engine.active().warnings(), []);
    let server = Actor::server("tracker");
    let agent = agent_for_a_person();
    let unproven = Actor { level: Level::PeerAsserted, ..agent_for_a_person() };
    let (anonymous, none): (_, &[&str]) = (Actor::anonymous(), &[]);
    for (actor, method, kind, names, expected) in [
        (&agent, "initialize", ResourceKind::Server, none, "verified-session-and-lists"),
        (&agent, "http/delete", ResourceKind::Server, none, "verified-session-and-lists"),
        (&agent, "tools/list", ResourceKind::Server, none, "verified-session-and-lists"),
        (&agent, "subscriptions/listen", ResourceKind::Server, none, "verified-list-news"),
        (&agent, "subscriptions/listen", ResourceKind::Resource, &["file:///a"], ""),
        (&agent, "tools/call", ResourceKind::Tool, &["t"], ""),
        (&agent, "resources/read", ResourceKind::Resource, &["file:///a"], ""),
        (&agent, "prompts/get", ResourceKind::Prompt, &["p"], ""),
        (&agent, "acme/frob", ResourceKind::Server, none, ""),
        (&unproven, "initialize", ResourceKind::Server, none, ""),
        (&anonymous, "tools/list", ResourceKind::Server, none, ""),
        (&server, "sampling/createMessage", ResourceKind::Client, none, "servers-ask-the-client"),
        (
            &server,
            "elicitation/create",
            ResourceKind::Client,
            &["https://x"],
            "servers-ask-the-client",
        ),
    ] {
        let towards_client = actor.kind == event::ActorKind::Server;
        let direction = if towards_client { Direction::ToClient } else { Direction::ToServer };
        let resource = resource(method, kind, names);
        let verdict = engine.decide(&request(actor, &resource, direction, bare()));
        assert_eq!(verdict.decision().determining.join(" "), expected, "{method} {}", actor.id);
        assert_ne!(verdict.decision().basis, Basis::SchemaError, "{method}");
    }
}

#[test]
fn local_callers_are_in_once_the_starter_line_is_uncommented() {
    let (before, after) = STARTER_POLICY.split_once("// @id(\"local-session-and-lists\")").unwrap();
    let text = format!("{before}@id(\"local-session-and-lists\"){}", after.replace("\n// ", "\n"));
    let engine = engine(&text);
    let local =
        Actor { kind: event::ActorKind::Local, level: Level::Observed, ..agent_for_a_person() };
    let list = resource("tools/list", ResourceKind::Server, &[]);
    let verdict = engine.decide(&request(&local, &list, Direction::ToServer, bare()));
    assert_eq!(verdict.decision().determining, ["local-session-and-lists"]);
}

#[test]
fn reload_takes_a_good_set_and_tells_what_changed() {
    let place = tempfile::tempdir().unwrap();
    let one = "@id(\"stays\") permit (principal, action == Action::\"ping\", resource);";
    write(place.path(), "a.cedar", one);
    write(
        place.path(),
        "b.cedar",
        "@id(\"goes\") permit (principal, action == Action::\"ping\", resource);\n@id(\"alters\") forbid (principal, action == Action::\"ping\", resource);",
    );
    let engine = Engine::new(Bundle::load(place.path()).unwrap());
    let first = engine.active().digest().to_owned();
    assert_eq!(engine.reload(place.path()), Ok(Reload::Unchanged));
    write(
        place.path(),
        "b.cedar",
        "// moved\n@id(\"alters\") forbid (principal, action == Action::\"initialize\", resource);\n@id(\"comes\") permit (principal, action, resource);",
    );
    let Ok(Reload::Changed(change)) = engine.reload(place.path()) else { panic!("no change") };
    let second = engine.active().digest().to_owned();
    assert_ne!(first, second);
    assert_eq!(change.warnings.len(), 1);
    assert_eq!(
        change,
        Change {
            from: first,
            to: second,
            added: vec!["comes".to_owned()],
            removed: vec!["goes".to_owned()],
            changed: vec!["alters".to_owned()],
            warnings: change.warnings.clone(),
        }
    );
}

#[test]
fn reload_of_a_bad_set_keeps_the_good_one() {
    let place = tempfile::tempdir().unwrap();
    write(
        place.path(),
        "a.cedar",
        "@id(\"a\") permit (principal, action == Action::\"ping\", resource);",
    );
    let engine = Engine::new(Bundle::load(place.path()).unwrap());
    let good = engine.active().digest().to_owned();
    let ping = resource("ping", ResourceKind::Server, &[]);
    for (name, text) in [
        ("b.cedar", "permit (principal, action == Action::\"ping\", resource);"),
        ("b.cedar", "@id(\"b\") permit (principal,"),
        ("b.cedar", "@id(\"a\") forbid (principal, action, resource);"),
        (
            "b.cedar",
            "@id(\"b\") forbid (principal, action, resource) when { context.nme == \"x\" };",
        ),
    ] {
        write(place.path(), name, text);
        let problems = engine.reload(place.path()).unwrap_err();
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{text}");
        let verdict = ask(&engine, &ping, bare());
        assert_eq!(verdict.decision().policy_set, good, "{text}");
        assert_eq!(verdict.decision().determining, ["a"], "{text}");
    }
    std::fs::remove_dir_all(place.path()).unwrap();
    assert!(engine.reload(place.path()).is_err());
    assert_eq!(engine.active().digest(), good);
}

#[test]
fn a_decision_uses_one_set_from_beginning_to_end() {
    let sets = ["a", "b"].map(|id| {
        let place = tempfile::tempdir().unwrap();
        let policies: String = (0..5)
            .map(|n| format!("@id(\"{id}{n}\") permit (principal, action == Action::\"resources/read\", resource);"))
            .collect();
        write(place.path(), "p.cedar", &policies);
        place
    });
    let engine = Engine::new(Bundle::load(sets[0].path()).unwrap());
    let digests =
        sets.each_ref().map(|place| Bundle::load(place.path()).unwrap().digest().to_owned());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let names = ["file:///a", "file:///b", "file:///c"];
                let read = resource("resources/read", ResourceKind::Resource, &names);
                while !done.load(Ordering::Relaxed) {
                    let verdict = ask(&engine, &read, bare());
                    let decision = verdict.decision();
                    let id = if decision.policy_set == digests[0] { "a" } else { "b" };
                    let expected: Vec<_> = (0..5).map(|n| format!("{id}{n}")).collect();
                    assert_eq!(decision.determining, expected);
                }
            });
        }
        for turn in 0..20 {
            let reload = engine.reload(sets[(turn + 1) % 2].path()).unwrap();
            assert!(matches!(reload, Reload::Changed(_)));
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A set that looks at everything says the same the second time, and the same as without a memory.
#[test]
fn what_is_remembered_is_what_would_be_said_now() {
    let engine = engine(
        r#"@id("named") permit (principal in Provider::"github", action, resource == Tool::"tracker/t")
           when { context.request_bytes < 100 || context.session };
           @id("level") permit (principal, action in Action::"list", resource)
           when { principal.level >= 4 && principal.chain_level >= 2 };
           @id("person") permit (principal, action, resource is Resource)
           when { principal has human && resource.uri like "file:///*" };
           @id("peer") forbid (principal, action, resource)
           when { context has peer && context.peer.isInRange(ip("198.51.100.0/24")) };
           @id("fails") forbid (principal, action == Action::"prompts/get", resource)
           when { context.request_bytes + 1 > 0 };"#,
    );
    let nobody = Actor { chain: [].into(), ..agent_for_a_person() };
    let actors = [agent_for_a_person(), nobody, Actor::anonymous(), Actor::server("tracker")];
    let things = [
        resource("tools/call", ResourceKind::Tool, &["t"]),
        resource("tools/call", ResourceKind::Tool, &["u"]),
        resource("tools/call", ResourceKind::Tool, &[]),
        resource("tools/list", ResourceKind::Server, &[]),
        resource("resources/read", ResourceKind::Resource, &["file:///a"]),
        resource("subscriptions/listen", ResourceKind::Resource, &["file:///a", "x:"]),
        resource("prompts/get", ResourceKind::Prompt, &["p"]),
    ];
    let outside = Context { peer: Some([198, 51, 100, 1].into()), ..full() };
    let short = Context { request_bytes: 10, ..bare() };
    let mut bases = BTreeSet::new();
    for round in 0..3 {
        for actor in &actors {
            for thing in &things {
                for context in [full(), bare(), outside, short] {
                    let request = request(actor, thing, Direction::ToServer, context);
                    let verdict = engine.decide(&request);
                    let decision = verdict.decision();
                    let active = engine.active();
                    let now = Question::new(&engine.words, active.needs(), &request)
                        .and_then(|question| engine.evaluate(question, active.policies()))
                        .map_or_else(|_| Answer::misfit(), Tally::answer);
                    assert_eq!(decision.basis, now.basis, "{round} {request:?}");
                    assert!(decision.determining.iter().eq(&now.determining), "{request:?}");
                    assert!(decision.errors.iter().eq(&now.errors), "{request:?}");
                    bases.insert(format!("{:?}", now.basis));
                }
            }
        }
    }
    assert_eq!(bases.len(), 5, "every basis comes up: {bases:?}");
}

#[test]
fn another_set_does_not_remember_what_the_last_one_said() {
    let place = tempfile::tempdir().unwrap();
    let ping = resource("ping", ResourceKind::Server, &[]);
    let set = |effect: &str| {
        let text = format!(
            "@id(\"{effect}\") {effect} (principal, action in Action::\"session\", resource);"
        );
        write(place.path(), "a.cedar", &text);
    };
    set("permit");
    let engine = Engine::new(Bundle::load(place.path()).unwrap());
    for (effect, basis) in [("forbid", Basis::Forbid), ("permit", Basis::Permit)] {
        set(effect);
        assert!(engine.reload(place.path()).is_ok());
        for _ in 0..2 {
            let verdict = ask(&engine, &ping, bare());
            assert_eq!(verdict.decision().basis, basis);
            assert_eq!(verdict.decision().policy_set, engine.active().digest());
        }
    }
}

/// What a generated policy does when it is asked about the one request of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Satisfied,
    Unsatisfied,
    Fails,
    /// Its scope does not match, so that its failing condition is never reached.
    Elsewhere,
}

/// Any policy set decides as the table in the README says, and above all: never a permit beside an error.
#[test]
fn policy_sets_decide_as_the_table_says() {
    let behaviour = prop_oneof![
        4 => Just(Behaviour::Satisfied),
        2 => Just(Behaviour::Unsatisfied),
        1 => Just(Behaviour::Fails),
        1 => Just(Behaviour::Elsewhere),
    ];
    let policy = (any::<bool>(), behaviour, 0..3_usize);
    let sets = proptest::collection::vec(policy, 0..6)
        .prop_map(|set| set.into_iter().enumerate().collect::<Vec<_>>());
    let words = Arc::new(Vocabulary::built_in().unwrap());
    proptest!(|(set in sets)| {
        let text: String = set.iter().map(|(n, (permits, behaviour, scope))| {
            let effect = if *permits { "permit" } else { "forbid" };
            let scope = match (behaviour, scope) {
                (Behaviour::Elsewhere, 0) => "principal, action == Action::\"ping\", resource",
                (Behaviour::Elsewhere, 1) => "principal, action, resource == Tool::\"tracker/u\"",
                (Behaviour::Elsewhere, _) => "principal in Provider::\"x\", action, resource",
                (_, 0) => "principal, action in Action::\"write\", resource",
                (_, 1) => "principal is Actor, action, resource in Server::\"tracker\"",
                _ => "principal in Provider::\"github\", action, resource == Tool::\"tracker/t\"",
            };
            let condition = match behaviour {
                Behaviour::Satisfied => "when { context.session }",
                Behaviour::Unsatisfied => "unless { context.session }",
                Behaviour::Fails | Behaviour::Elsewhere => "when { context.request_bytes + 1 > 0 }",
            };
            format!("@id(\"p{n}\") {effect} ({scope}) {condition};\n")
        }).collect();
        let source = Source { name: "p.cedar".to_owned(), text };
        let reading = Bundle::read(Arc::clone(&words), vec![source], Vec::new());
        let engine = Engine::new(reading.bundle.unwrap());
        let tool = resource("tools/call", ResourceKind::Tool, &["t"]);
        let verdict = ask(&engine, &tool, full());
        let which = |wanted: Behaviour, permits: Option<bool>| -> BTreeSet<String> {
            set.iter()
                .filter(|(_, (permit, behaviour, _))| {
                    *behaviour == wanted && permits.is_none_or(|permits| permits == *permit)
                })
                .map(|(n, _)| format!("p{n}"))
                .collect()
        };
        let errors = which(Behaviour::Fails, None);
        let forbids = which(Behaviour::Satisfied, Some(false));
        let permits = which(Behaviour::Satisfied, Some(true));
        let (basis, determining) = if !errors.is_empty() {
            (Basis::EvaluationError, forbids)
        } else if !forbids.is_empty() {
            (Basis::Forbid, forbids)
        } else if !permits.is_empty() {
            (Basis::Permit, permits)
        } else {
            (Basis::DefaultDeny, BTreeSet::new())
        };
        let decision = verdict.decision();
        prop_assert_eq!(decision.basis, basis);
        prop_assert_eq!(matches!(verdict, Verdict::Permitted(_)), basis == Basis::Permit);
        prop_assert_eq!(decision.errors.iter().cloned().collect::<BTreeSet<_>>(), errors);
        prop_assert_eq!(decision.determining.iter().cloned().collect::<BTreeSet<_>>(), determining);
    });
}

fn engine(text: &str) -> Engine {
    let source = Source { name: "test.cedar".to_owned(), text: text.to_owned() };
    match Bundle::parse(vec![source]) {
        Ok(bundle) => Engine::new(bundle),
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

fn ask(engine: &Engine, resource: &Resource, context: Context<'_>) -> Verdict {
    engine.decide(&request(&agent_for_a_person(), resource, Direction::ToServer, context))
}

fn write(directory: &Path, name: &str, text: &str) {
    if let Err(error) = std::fs::write(directory.join(name), text) {
        panic!("{error}");
    }
}
