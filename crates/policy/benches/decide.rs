//! How long a decision takes, with few and with many policies.

use criterion::{Criterion, criterion_group, criterion_main};
use event::{
    Actor, ActorKind, CallId, Direction, Evidence, EvidenceKind, Hop, HopRole, Level, MethodClass,
    Resource, ResourceKind, Time, Transport,
};
use policy::{Bundle, Context, Engine, Request, STARTER_POLICY, Source, Verdict};
use std::hint::black_box;
use uuid::Uuid;

fn decide(criterion: &mut Criterion) {
    for policies in [10, 100] {
        let engine = Engine::new(bundle(policies));
        let (actor, resource) = (actor(), resource());
        let request = request(&actor, &resource);
        assert!(matches!(engine.decide(&request), Verdict::Permitted(_)));
        criterion.bench_function(&format!("decide, {policies} policies"), |bencher| {
            bencher.iter(|| engine.decide(black_box(&request)));
        });
    }
    let engine = Engine::new(bundle(10));
    let misfit = Resource { names: Vec::new(), ..resource() };
    let actor = actor();
    let request = request(&actor, &misfit);
    criterion.bench_function("refuse what does not fit", |bencher| {
        bencher.iter(|| engine.decide(black_box(&request)));
    });
    criterion.bench_function("read and validate 100 policies", |bencher| {
        bencher.iter(|| bundle(black_box(100)));
    });
}

/// The starter set and one policy per tool, one of which permits the call.
fn bundle(policies: usize) -> Bundle {
    let tools: String = (3..policies)
        .map(|n| {
            format!(
                "@id(\"tool-{n}\") permit (principal in Provider::\"github\", \
                 action == Action::\"tools/call\", resource == Tool::\"tracker/tool_{n}\") \
                 when {{ principal.level >= 4 && context.session }};\n"
            )
        })
        .collect();
    let sources = [("starter.cedar", STARTER_POLICY), ("tools.cedar", tools.as_str())]
        .map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() });
    match Bundle::parse(sources.to_vec()) {
        Ok(bundle) => bundle,
        Err(problems) => unreachable!("{problems:?}"),
    }
}

fn request<'a>(actor: &'a Actor, resource: &'a Resource) -> Request<'a> {
    Request {
        call: CallId(Uuid::nil()),
        actor,
        resource,
        direction: Direction::ToServer,
        context: Context {
            gateway: "gate-1",
            peer: Some([192, 0, 2, 7].into()),
            protocol: Some("2026-07-28"),
            region: Some("eu"),
            handle: None,
            definition: "approved",
            request_bytes: 512,
            session: true,
            time: Time::from_unix_us(1_795_336_620_123_456),
            transport: Transport::Http,
        },
    }
}

fn resource() -> Resource {
    Resource {
        class: MethodClass::Write,
        kind: ResourceKind::Tool,
        method: "tools/call".to_owned(),
        names: vec!["tool_7".to_owned()],
        server: "tracker".to_owned(),
    }
}

fn actor() -> Actor {
    Actor {
        chain: [Hop {
            evidence: Evidence::new(EvidenceKind::Jwt),
            id: "repo:acme/site".to_owned(),
            level: Level::VerifiedBearer,
            role: HopRole::Workload,
        }]
        .into(),
        development: false,
        id: "repo:acme/site".to_owned(),
        kind: ActorKind::Workload,
        level: Level::VerifiedBearer,
        provider: "github".to_owned(),
        ..Actor::anonymous()
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
