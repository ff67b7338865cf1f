//! Every request that fits by our table fits by Cedar's own validation, and the other way round.

use super::{Context, Misfit, NAMES_MAX, Question, Request};
use crate::fixture::{agent_for_a_person, bare, full, request, resource};
use crate::needs::Needs;
use crate::vocabulary::{KINDS, Vocabulary};
use cedar_policy::{Entities, EntityUid, EvalResult, Schema};
use event::{Actor, ActorKind, Direction, Level, Resource, ResourceKind, Time};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use std::net::IpAddr;
use std::sync::Arc;

#[test]
fn schema_has_every_method_and_no_other() {
    let words = Vocabulary::built_in().unwrap();
    assert_eq!(words.methods(Direction::ToServer), TO_SERVER.map(|(method, _)| method));
    assert_eq!(words.methods(Direction::ToClient), TO_CLIENT.map(|(method, _)| method));
}

#[test]
fn every_method_has_its_group_and_things() {
    let words = Vocabulary::built_in().unwrap();
    let schema = words.validator.schema();
    let entities = schema.action_entities().unwrap();
    let rows = (TO_SERVER.iter().map(|row| (Direction::ToServer, row)))
        .chain(TO_CLIENT.iter().map(|row| (Direction::ToClient, row)))
        .chain([
            (Direction::ToServer, &("acme/unknown", "write: Server Tool Resource Prompt Task")),
            (Direction::ToServer, &("other", "write: Server Tool Resource Prompt Task")),
            (Direction::ToServer, &("to-client/ping", "write: Server Tool Resource Prompt Task")),
            (Direction::ToServer, &("list", "write: Server Tool Resource Prompt Task")),
            (Direction::ToServer, &("", "write: Server Tool Resource Prompt Task")),
            (Direction::ToClient, &("tools/call", "to-client: Client Task")),
            (Direction::ToClient, &("other", "to-client: Client Task")),
        ]);
    for (direction, (method, expected)) in rows {
        let action = words.action(direction, method);
        let groups: Vec<_> =
            entities.ancestors(&action.uid).unwrap().map(|uid| uid.id().unescaped()).collect();
        let mut found = format!("{}:", groups.join(" "));
        for kind in [
            ResourceKind::Client,
            ResourceKind::Server,
            ResourceKind::Tool,
            ResourceKind::Resource,
            ResourceKind::Prompt,
            ResourceKind::Task,
        ] {
            if action.applies_to(kind) {
                found.push_str(&format!(" {kind:?}"));
            }
        }
        assert_eq!(&found, expected, "{direction:?} {method}");
    }
}

/// The hot path skips Cedar's validation of requests and entities. This is why it may.
#[test]
fn what_fits_fits_by_cedars_validation_and_what_does_not_would_not() {
    let words = Vocabulary::built_in().unwrap();
    let mut fits = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut methods = words.methods(direction);
        methods.extend(["acme/unknown", "other", "to-client/other", "read", ""]);
        for method in methods {
            for kind in KINDS {
                for actor in actors() {
                    for names in [&[][..], &["a"], &["b", "a", "b"]] {
                        let resource = resource(method, kind, names);
                        for context in [bare(), full()] {
                            let request = request(&actor, &resource, direction, context);
                            fits += usize::from(agree(&words, &request));
                        }
                    }
                }
            }
        }
    }
    assert!(1_000 < fits, "{fits}");
}

/// Whether the request fits, having compared our verdict with Cedar's.
fn agree(words: &Vocabulary, request: &Request<'_>) -> bool {
    let schema = words.validator.schema();
    match Question::new(words, Needs::ALL, request) {
        Ok(question) => {
            validate(schema, question);
            true
        }
        Err(Misfit::Kind { kind, .. }) => {
            let action = words.action(request.direction, &request.resource.method);
            let types: Vec<_> = schema
                .resources_for_action(&action.uid)
                .unwrap()
                .map(|name| name.basename().to_lowercase())
                .collect();
            assert!(!types.iter().any(|name| name == kind), "{kind} {types:?}");
            false
        }
        Err(Misfit::Direction(_)) => {
            let towards_client = request.direction == Direction::ToClient;
            assert_ne!(towards_client, request.actor.kind == ActorKind::Server);
            false
        }
        Err(Misfit::Whole) => {
            assert_eq!(request.resource.kind, ResourceKind::Server);
            assert!(!request.resource.names.is_empty());
            false
        }
        Err(other) => panic!("{other}"),
    }
}

fn validate(schema: &Schema, question: Question) {
    assert!(!question.resources.is_empty());
    let entities: Vec<_> = question.entities.iter().cloned().collect();
    Entities::from_entities(entities, Some(schema)).unwrap();
    for resource in question.resources {
        assert!(question.entities.get(&resource).is_some(), "{resource}");
        let (principal, action) = (question.principal.clone(), question.action.clone());
        let context = question.context.clone();
        cedar_policy::Request::new(principal, action, resource, context, Some(schema)).unwrap();
    }
}

#[test]
fn entities_hold_what_the_request_says() {
    let words = Vocabulary::built_in().unwrap();
    let actor = agent_for_a_person();
    let resource = resource("tools/call", ResourceKind::Tool, &["create \"issue\"/now"]);
    let request = request(&actor, &resource, Direction::ToServer, full());
    let question = Question::new(&words, Needs::ALL, &request).unwrap();
    let attribute = |uid: &EntityUid, name: &str| {
        question.entities.get(uid).unwrap().attr(name).map(Result::unwrap)
    };
    assert_eq!(question.principal.to_string(), "Actor::\"github/agent-7\"");
    for (name, expected) in [
        ("chain_depth", EvalResult::Long(3)),
        ("chain_level", EvalResult::Long(2)),
        ("development", EvalResult::Bool(true)),
        ("human", EvalResult::String("ann@example.org".to_owned())),
        ("id", EvalResult::String("agent-7".to_owned())),
        ("issuer", EvalResult::String("https://issuer.example".to_owned())),
        ("kind", EvalResult::String("workload".to_owned())),
        ("level", EvalResult::Long(4)),
        ("level_name", EvalResult::String("verified-bearer".to_owned())),
        ("provider", EvalResult::String("github".to_owned())),
    ] {
        assert_eq!(attribute(&question.principal, name), Some(expected), "{name}");
    }
    let provider: EntityUid = "Provider::\"github\"".parse().unwrap();
    assert!(question.entities.is_ancestor_of(&provider, &question.principal));
    let [tool] = &question.resources[..] else { panic!("one tool") };
    assert_eq!(tool.id().unescaped(), "tracker/create \"issue\"/now");
    assert_eq!(
        attribute(tool, "name"),
        Some(EvalResult::String("create \"issue\"/now".to_owned()))
    );
    let server: EntityUid = "Server::\"tracker\"".parse().unwrap();
    assert!(question.entities.is_ancestor_of(&server, tool));
    let context = &question.context;
    for (name, expected) in [
        ("class", "\"write\""),
        ("gateway", "\"gate-1\""),
        ("method", "\"tools/call\""),
        ("peer", "ip(\"192.0.2.7\")"),
        ("protocol", "\"2026-07-28\""),
        ("region", "\"eu\""),
        ("request_bytes", "9223372036854775807"),
        ("session", "true"),
        ("transport", "\"http\""),
    ] {
        assert_eq!(context.get(name).unwrap().to_string(), expected, "{name}");
    }
    let time: EvalResult = cedar_policy::eval_expression(
        &cedar_policy::Request::new(
            question.principal.clone(),
            question.action.clone(),
            tool.clone(),
            context.clone(),
            None,
        )
        .unwrap(),
        &question.entities,
        &"context.time == datetime(\"2026-11-22T08:37:00.123Z\")".parse().unwrap(),
    )
    .unwrap();
    assert_eq!(time, EvalResult::Bool(true));
}

#[test]
fn a_person_counts_only_when_an_issuer_says_so() {
    let words = Vocabulary::built_in().unwrap();
    let resource = resource("ping", ResourceKind::Server, &[]);
    for (level, expected) in [
        (Level::None, false),
        (Level::Observed, false),
        (Level::PeerAsserted, false),
        (Level::IssuerAsserted, true),
        (Level::VerifiedBearer, true),
        (Level::VerifiedPop, true),
    ] {
        let mut actor = agent_for_a_person();
        Arc::make_mut(&mut actor.chain)[0].level = level;
        let request = request(&actor, &resource, Direction::ToServer, bare());
        let question = Question::new(&words, Needs::ALL, &request).unwrap();
        let principal = question.entities.get(&question.principal).unwrap();
        assert_eq!(principal.attr("human").is_some(), expected, "{level:?}");
    }
}

#[test]
fn anonymous_is_one_entity_in_no_provider() {
    let words = Vocabulary::built_in().unwrap();
    let resource = resource("ping", ResourceKind::Server, &[]);
    let mut pretender = Actor::anonymous();
    "github".clone_into(&mut pretender.provider);
    for actor in [Actor::anonymous(), pretender] {
        let request = request(&actor, &resource, Direction::ToServer, bare());
        let question = Question::new(&words, Needs::ALL, &request).unwrap();
        assert_eq!(question.principal.to_string(), "Actor::\"anonymous\"");
        assert_eq!(question.entities.ancestors(&question.principal).unwrap().count(), 0);
    }
}

#[test]
fn ambiguous_and_oversized_requests_do_not_fit() {
    let words = Vocabulary::built_in().unwrap();
    let says = |actor: &Actor, resource: &Resource, context| {
        let request = request(actor, resource, Direction::ToServer, context);
        Question::new(&words, Needs::ALL, &request).map(|_| ()).map_err(|misfit| misfit.to_string())
    };
    let actor = agent_for_a_person();
    let tool = resource("tools/call", ResourceKind::Tool, &["t"]);
    assert_eq!(says(&actor, &tool, bare()), Ok(()));
    let slashed = Resource { server: "a/b".to_owned(), ..tool.clone() };
    assert_eq!(
        says(&actor, &slashed, bare()).unwrap_err(),
        "server names cannot hold a `/`: rename it in the configuration"
    );
    let borrowed = Actor { provider: "a/b".to_owned(), ..actor.clone() };
    assert_eq!(
        says(&borrowed, &tool, bare()).unwrap_err(),
        "trust provider names cannot hold a `/`: rename it in the configuration"
    );
    let nameless = resource("tools/call", ResourceKind::Tool, &[]);
    assert_eq!(
        says(&actor, &nameless, bare()).unwrap_err(),
        "the call acts on a server, but the action `tools/call` does not apply to one"
    );
    let whole = resource("tools/list", ResourceKind::Server, &["t"]);
    assert_eq!(
        says(&actor, &whole, bare()).unwrap_err(),
        "the call acts on the server as a whole and yet names something in it"
    );
    let mut many = resource("subscriptions/listen", ResourceKind::Resource, &[]);
    many.names = (0..NAMES_MAX).map(|n| n.to_string()).collect();
    assert_eq!(says(&actor, &many, bare()), Ok(()));
    many.names.push("0".to_owned());
    assert_eq!(
        says(&actor, &many, bare()).unwrap_err(),
        "the call names 257 things; at most 256 can be decided at once"
    );
    let before_christ = Time::from_unix_us(-100_000_000_000_000_000);
    let misfit = says(&actor, &tool, Context { time: before_christ, ..bare() }).unwrap_err();
    assert!(misfit.starts_with("its values do not fit the schema: "), "{misfit}");
}

#[test]
fn addresses_are_written_as_cedar_reads_them() {
    let words = Vocabulary::built_in().unwrap();
    let actor = agent_for_a_person();
    let resource = resource("ping", ResourceKind::Server, &[]);
    for (address, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::192.0.2.7", "::c000:207"),
        ("::1", "::1"),
        ("::", "::"),
        ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
    ] {
        let peer: IpAddr = address.parse().unwrap();
        let context = Context { peer: Some(peer), ..bare() };
        let request = request(&actor, &resource, Direction::ToServer, context);
        let question = Question::new(&words, Needs::ALL, &request).unwrap();
        let same = cedar_policy::eval_expression(
            &cedar_policy::Request::new(
                question.principal,
                question.action,
                question.resources[0].clone(),
                question.context,
                None,
            )
            .unwrap(),
            &question.entities,
            &format!("context.peer == ip(\"{expected}\")").parse().unwrap(),
        );
        assert_eq!(same.unwrap(), EvalResult::Bool(true), "{address}");
    }
}

/// No character in a name has a meaning, and no two requests share an entity.
#[test]
fn names_are_taken_as_they_are() {
    let words = Vocabulary::built_in().unwrap();
    proptest!(|(
        server in odd_text().prop_map(|text| text.replace('/', "")),
        names in proptest::collection::vec(odd_text(), 1..4),
        id in odd_text(),
        provider in odd_text().prop_map(|text| text.replace('/', "")),
        kind in proptest::sample::select(&KINDS[..]),
    )| {
        let actor = Actor { id: id.clone(), provider: provider.clone(), ..agent_for_a_person() };
        let (method, direction, actor) = match kind {
            ResourceKind::Client => ("x", Direction::ToClient, Actor::server(&id)),
            _ => ("x", Direction::ToServer, actor),
        };
        let texts: Vec<_> = names.iter().map(String::as_str).collect();
        let mut resource = resource(method, kind, &texts);
        resource.server.clone_from(&server);
        if kind == ResourceKind::Server {
            resource.names.clear();
        }
        let request = request(&actor, &resource, direction, bare());
        let question = Question::new(&words, Needs::ALL, &request).unwrap();
        let principal = question.principal.id().unescaped().to_owned();
        if direction == Direction::ToClient {
            prop_assert_eq!(&principal, &id);
        } else {
            prop_assert_eq!(principal.split_once('/'), Some((provider.as_str(), id.as_str())));
        }
        let found: std::collections::BTreeSet<_> =
            question.resources.iter().map(|uid| uid.id().unescaped().to_owned()).collect();
        let expected: std::collections::BTreeSet<_> = if kind == ResourceKind::Server {
            std::iter::once(server).collect()
        } else {
            names.iter().map(|name| format!("{server}/{name}")).collect()
        };
        prop_assert_eq!(found, expected);
        prop_assert!(question.resources.len() <= names.len());
        validate(words.validator.schema(), question);
    });
}

/// Text with what could go wrong in a policy language: quotes, escapes, line ends, controls, colons.
fn odd_text() -> impl Strategy<Value = String> {
    let odd = proptest::sample::select(vec![
        "\"",
        "\\",
        "\n",
        "\r",
        "\0",
        "::",
        "Tool::\"x\"",
        "*",
        "?principal",
        "é",
        "\u{202e}",
        "\u{1f511}",
        "//",
        "'",
        " ",
        "{}",
        "\u{feff}",
        "a",
    ]);
    let piece = proptest::prop_oneof![odd.prop_map(str::to_owned), any::<String>()];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn actors() -> Vec<Actor> {
    let mut local = agent_for_a_person();
    local.kind = ActorKind::Local;
    local.chain = [].into();
    local.provider.clear();
    let person = Actor { kind: ActorKind::Human, ..agent_for_a_person() };
    vec![Actor::anonymous(), Actor::server("tracker"), agent_for_a_person(), local, person]
}

const TO_CLIENT: [(&str, &str); 8] = [
    ("elicitation/create", "to-client: Client"),
    ("ping", "to-client: Client"),
    ("roots/list", "to-client: Client"),
    ("sampling/createMessage", "to-client: Client"),
    ("tasks/cancel", "to-client: Client Task"),
    ("tasks/get", "to-client: Client Task"),
    ("tasks/list", "to-client: Client Task"),
    ("tasks/result", "to-client: Client Task"),
];

const TO_SERVER: [(&str, &str); 30] = [
    ("completion/complete", "read: Resource Prompt"),
    ("http/delete", "session: Server"),
    ("http/get", "session: Server"),
    ("initialize", "session: Server"),
    ("logging/setLevel", "session: Server"),
    ("notifications/cancelled", "session: Server"),
    ("notifications/initialized", "session: Server"),
    ("notifications/progress", "session: Server"),
    ("notifications/roots/list_changed", "session: Server"),
    ("notifications/tasks/status", "session: Server Task"),
    ("ping", "session: Server"),
    ("prompts/get", "read: Prompt"),
    ("prompts/list", "list: Server"),
    ("resources/directory/read", "read: Resource"),
    ("resources/list", "list: Server"),
    ("resources/read", "read: Resource"),
    ("resources/subscribe", "read: Server Resource"),
    ("resources/templates/list", "list: Server"),
    ("resources/unsubscribe", "read: Server Resource"),
    ("server/discover", "session: Server"),
    ("skills/get", "read: Resource"),
    ("skills/list", "list: Server"),
    ("subscriptions/listen", "read: Server Resource Task"),
    ("tasks/cancel", "write: Task"),
    ("tasks/get", "read: Task"),
    ("tasks/list", "list: Server"),
    ("tasks/result", "read: Task"),
    ("tasks/update", "write: Task"),
    ("tools/call", "write: Tool"),
    ("tools/list", "list: Server"),
];
