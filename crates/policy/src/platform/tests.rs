//! The table says what the schema says, and actors of platforms fit it.

use super::{Form, PLATFORMS, Wanted, platform_attributes, slots};
use crate::bundle::{Bundle, Source};
use crate::engine::Engine;
use crate::fixture::{agent_for_a_person, bare, request, resource};
use crate::needs::Needs;
use crate::question::Question;
use crate::vocabulary::{SCHEMA, Vocabulary};
use cedar_policy::{Entities, SchemaFragment};
use event::{Actor, Direction, ResourceKind};
use serde_json::Value;
use std::collections::BTreeMap;

fn of(attributes: impl IntoIterator<Item = (String, String)>) -> Actor {
    let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
    Actor { attributes: attributes.into(), ..agent_for_a_person() }
}

/// An actor of a platform with its required attributes, or all.
fn actor(name: &str, all: bool) -> Actor {
    let platform = PLATFORMS.iter().find(|platform| platform.name == name).unwrap();
    let attributes = platform.attributes.iter().filter(|own| all || own.required);
    of(attributes.map(|own| {
        let value = if matches!(own.form, Form::Flag) { "true" } else { own.name };
        (format!("{name}.{}", own.name), value.to_owned())
    }))
}

#[test]
fn the_table_is_that_of_the_schema() {
    let (schema, _) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    let schema = schema.to_json_value().unwrap();
    let types = schema[""]["commonTypes"].as_object().unwrap();
    let actor = &schema[""]["entityTypes"]["Actor"]["shape"]["attributes"];
    for platform in PLATFORMS {
        let own = &actor[platform.name];
        assert_eq!(own["required"], Value::Bool(false), "{own}");
        let name = own.get("name").or_else(|| own.get("type")).and_then(Value::as_str).unwrap();
        let declared = types[name]["attributes"].as_object().unwrap();
        let declared: Vec<_> = declared
            .iter()
            .map(|(name, declared)| {
                let flag = declared.to_string().contains("Bool");
                (name.as_str(), flag, declared["required"] != Value::Bool(false))
            })
            .collect();
        let attributes = platform.attributes.iter();
        let table: Vec<_> = attributes
            .map(|own| (own.name, matches!(own.form, Form::Flag), own.required))
            .collect();
        assert_eq!(table, declared, "{}", platform.name);
    }
    assert!(slots().count() <= 128, "more than there are bits");
    let names: Vec<_> = PLATFORMS.iter().map(|platform| platform.name).collect();
    assert!(names.is_sorted());
    assert!(platform_attributes().contains(&"github.repository_id".to_owned()));
}

#[test]
fn actors_of_platforms_fit_the_schema() {
    let words = Vocabulary::built_in().unwrap();
    let resource = resource("ping", ResourceKind::Server, &[]);
    for platform in PLATFORMS {
        for all in [false, true] {
            let actor = actor(platform.name, all);
            let request = request(&actor, &resource, Direction::ToServer, bare());
            let question = Question::new(&words, Needs::ALL, &request).unwrap();
            let principal = question.entities.get(&question.principal).unwrap().clone();
            assert!(principal.attr(platform.name).is_some(), "{}", platform.name);
            Entities::from_entities([principal], Some(words.validator.schema())).unwrap();
        }
    }
}

#[test]
fn what_is_not_declared_does_not_show() {
    let words = Vocabulary::built_in().unwrap();
    let resource = resource("ping", ResourceKind::Server, &[]);
    let shows = |actor: &Actor| {
        let request = request(actor, &resource, Direction::ToServer, bare());
        let question = Question::new(&words, Needs::ALL, &request).unwrap();
        let principal = question.entities.get(&question.principal).unwrap().clone();
        let shown = Entities::from_entities([principal.clone()], Some(words.validator.schema()));
        shown.unwrap();
        PLATFORMS.iter().any(|platform| principal.attr(platform.name).is_some())
    };
    let mut more = actor("kubernetes", false);
    let mut attributes = (*more.attributes).clone();
    attributes.insert("kubernetes.label".to_owned(), "x".to_owned());
    more.attributes = attributes.clone().into();
    assert!(shows(&more));
    attributes.remove("kubernetes.namespace");
    assert!(!shows(&of(attributes)), "an incomplete record");
    assert!(!shows(&of([("github".to_owned(), "x".to_owned())])));
    assert!(!shows(&of([("elsewhere.namespace".to_owned(), "x".to_owned())])));
}

#[test]
fn only_what_is_wanted_is_known() {
    let actor = actor("github", true);
    assert!(Wanted::NONE.of(&actor.attributes).is_none());
    let mut wanted = Wanted::NONE;
    wanted.attribute("ref");
    assert!(wanted.of(&actor.attributes).is_none(), "nobody asks for the platform");
    wanted.platform("github");
    let known = wanted.of(&actor.attributes).unwrap();
    let values: Vec<_> = known.values.iter().map(|(own, value)| (own.name, *value)).collect();
    assert_eq!((known.platform, values), ("github", vec![("ref", "ref")]));
    let all = Wanted::ALL.of(&actor.attributes).unwrap();
    assert_eq!(all.values.len(), PLATFORMS[0].attributes.len());
}

#[test]
fn policies_speak_about_platforms() {
    let source = Source {
        name: "a.cedar".to_owned(),
        text: "@id(\"deploys\") permit (principal is Actor, action, resource)
                 when { principal has github && principal.github.repository_id == \"74\"
                        && principal.github has environment && principal.github.environment == \"prod\" }
                 unless { principal.github has ref_protected && !principal.github.ref_protected };"
            .to_owned(),
    };
    let engine = Engine::new(Bundle::parse(vec![source]).unwrap());
    let resource = resource("ping", ResourceKind::Server, &[]);
    let permits = |changes: &[(&str, &str)]| {
        let mut attributes = (*actor("github", true).attributes).clone();
        attributes.insert("github.repository_id".to_owned(), "74".to_owned());
        attributes.insert("github.environment".to_owned(), "prod".to_owned());
        for (name, value) in changes {
            attributes.insert((*name).to_owned(), (*value).to_owned());
        }
        let actor = of(attributes);
        let request = request(&actor, &resource, Direction::ToServer, bare());
        // Asked twice: the second time it is remembered.
        assert_eq!(engine.would_permit(&request), engine.would_permit(&request));
        engine.would_permit(&request)
    };
    assert!(permits(&[]));
    assert!(permits(&[("github.run_id", "8")]));
    assert!(!permits(&[("github.repository_id", "75")]));
    assert!(!permits(&[("github.environment", "dev")]));
    assert!(!permits(&[("github.ref_protected", "false")]));
    let plain = agent_for_a_person();
    assert!(!engine.would_permit(&request(&plain, &resource, Direction::ToServer, bare())));

    for (condition, said) in [
        ("principal.github.repository_id == \"74\"", "github"),
        ("principal has github && principal.github.repo == \"x\"", "repo"),
        ("principal has github && principal.github.environment == \"x\"", "environment"),
        ("principal has github && principal.github.run_id == 7", ""),
    ] {
        let text = format!(
            "@id(\"x\") permit (principal is Actor, action, resource) when {{ {condition} }};"
        );
        let problems =
            Bundle::parse(vec![Source { name: "b.cedar".to_owned(), text }]).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains(said)), "{condition}: {problems:?}");
    }
}
