//! Policy files: what loads holds exactly the policies that Cedar finds, decides the same twice, and
//! permits nothing that no policy permits; what does not load says where.

use cedar_policy::PolicySet;
use event::{
    Actor, ActorKind, CallId, Decision, Direction, Effect, Evidence, EvidenceKind, Hop, HopRole,
    Level, MethodClass, Resource, ResourceKind, Time, Transport,
};
use policy::{
    Bundle, Change, Context, Engine, ID_BYTES_MAX, Problem, Reload, Request, Severity, Source,
};
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use uuid::Uuid;

/// The input is one policy file, or two with a line of `---` between them.
pub fn policy_files(data: &[u8]) {
    let end = data.windows(5).position(|line| line == b"\n---\n");
    let files: Vec<File<'_>> = match end {
        Some(end) => vec![("a.cedar", &data[..end]), ("b.cedar", &data[end + 5..])],
        None => vec![("a.cedar", data)],
    };
    ENGINES.with(|engines| match load(&engines[0], &files) {
        Ok(change) => {
            check_change(&engines[0], change);
            check_bundle(&files, &engines[0].active(), &engines[1]);
            check_decisions(&files, engines);
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            check_places(&files, &problems);
        }
    });
}

/// Name and content.
type File<'a> = (&'static str, &'a [u8]);

// Engines read the schema when they are made, which takes longer than all the rest.
thread_local! {
    static ENGINES: [Engine; 2] = [FIRST, FIRST].map(|text| {
        let first = Source { name: "first.cedar".to_owned(), text: text.to_owned() };
        Engine::new(Bundle::parse(vec![first]).expect("the first set is good"))
    });
}

/// Makes these files the active set, and tells from which policies to which.
fn load(engine: &Engine, files: &[File<'_>]) -> Result<Option<Change>, Vec<Problem>> {
    let directory = tempfile::tempdir().expect("there is a place for temporary files");
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).expect("a file can be written");
    }
    let before = engine.active();
    let reloaded = engine.reload(directory.path());
    let is_kept = engine.active().digest() == before.digest();
    match reloaded {
        Ok(Reload::Changed(change)) => {
            assert_eq!(
                (change.from.as_str(), change.to.as_str()),
                (before.digest(), engine.active().digest())
            );
            let ids: BTreeSet<&str> = before.ids().collect();
            assert!(change.added.iter().all(|id| !ids.contains(id.as_str())));
            assert!(
                change.removed.iter().chain(&change.changed).all(|id| ids.contains(id.as_str()))
            );
            Ok(Some(change))
        }
        Ok(Reload::Unchanged) => {
            assert!(is_kept, "another set is active");
            Ok(None)
        }
        Err(problems) => {
            assert!(is_kept, "a bad set is active");
            Err(problems)
        }
    }
}

/// A change leads to the policies that are there.
fn check_change(engine: &Engine, change: Option<Change>) {
    let Some(change) = change else { return };
    let active = engine.active();
    let ids: BTreeSet<&str> = active.ids().collect();
    assert!(change.added.iter().chain(&change.changed).all(|id| ids.contains(id.as_str())));
    assert!(change.removed.iter().all(|id| !ids.contains(id.as_str())));
    assert_eq!(change.warnings, active.warnings());
}

/// Every place is one in a file.
fn check_places(files: &[File<'_>], problems: &[Problem]) {
    for problem in problems {
        assert!(!problem.message.is_empty() && problem.message.lines().count() == 1, "{problem}");
        if problem.file.is_empty() {
            assert_eq!((problem.line, problem.column), (0, 0));
            continue;
        }
        let file = files.iter().find(|(name, _)| *name == problem.file);
        let text = String::from_utf8_lossy(file.expect("a file that is not there").1);
        if problem.line == 0 {
            assert_eq!(problem.column, 0);
            continue;
        }
        let line = problem.line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
        let line = line.unwrap_or_else(|| panic!("a line that is not there: {problem}"));
        assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem}");
    }
}

/// The policies of a set are those that Cedar finds, each by its own name.
fn check_bundle(files: &[File<'_>], bundle: &Bundle, other: &Engine) {
    let mut found: Vec<String> = Vec::new();
    for (_, text) in files {
        let text = str::from_utf8(text).expect("a file that is no text was accepted");
        let parsed: PolicySet = text.parse().expect("Cedar refuses what was accepted");
        assert_eq!(parsed.templates().count(), 0, "a template was accepted");
        let id = |policy: &cedar_policy::Policy| policy.annotation("id").map(str::to_owned);
        found.extend(parsed.policies().map(|policy| id(policy).expect("a policy without a name")));
    }
    found.sort();
    assert!(bundle.ids().eq(found.iter().map(String::as_str)), "policies were lost or made up");
    let fits =
        |id: &String| (1..=ID_BYTES_MAX).contains(&id.len()) && !id.contains(char::is_control);
    assert!(found.iter().all(fits));
    assert!(bundle.warnings().iter().all(|warning| warning.severity == Severity::Warning));
    check_places(files, bundle.warnings());
    let with = |name, text: &str| {
        let more = [&[(name, text.as_bytes())], files].concat();
        load(other, &more).expect("a comment breaks a set");
        other.active().digest().to_owned()
    };
    let commented = with("c.cedar", "// nothing");
    assert_ne!(commented, bundle.digest(), "another file, and the same digest");
    assert_ne!(commented, with("c.cedar", "// nothing "));
    assert_ne!(commented, with("d.cedar", "// nothing"));
}

/// Decisions are repeatable, rest on policies that are there, and yield to a forbid.
fn check_decisions(files: &[File<'_>], [engine, other]: &[Engine; 2]) {
    let active = engine.active();
    let ids: BTreeSet<&str> = active.ids().collect();
    let may_permit = files.iter().any(|(_, text)| text.windows(6).any(|word| word == b"permit"));
    // The other engine has the same set, and a comment.
    let decided: Vec<Decision> = (0..CASES).map(|case| decide(engine, case)).collect();
    for (case, decision) in decided.iter().enumerate() {
        assert_eq!(&decide(engine, case), decision, "the second time is another");
        let same = decide(other, case);
        assert_eq!((same.effect, &same.determining), (decision.effect, &decision.determining));
        assert_eq!(decision.policy_set, active.digest());
        let mut named = decision.determining.iter().chain(&decision.errors);
        assert!(named.all(|id| ids.contains(id.as_str())));
        if decision.effect == Effect::Permit {
            assert!(may_permit && !decision.determining.is_empty(), "permitted by nobody");
            assert!(decision.errors.is_empty(), "permitted although a policy failed");
        }
    }
    if load(other, &[&[("z.cedar", CLOSED.as_bytes())], files].concat()).is_ok() {
        for case in 0..CASES {
            let decision = decide(other, case);
            assert_eq!(decision.effect, Effect::Forbid, "a forbid does not win");
            assert!(decision.determining.iter().any(|id| id == CLOSED_ID));
        }
    }
}

/// What is decided of one of a few requests: of a verified agent or a local user, of one tool or two, or
/// of the server itself.
fn decide(engine: &Engine, case: usize) -> Decision {
    let actor = actor(case.is_multiple_of(2));
    let (method, kind, names): (_, _, &[&str]) = match case % 3 {
        0 => ("tools/call", ResourceKind::Tool, &["create_issue"]),
        1 => ("tools/call", ResourceKind::Tool, &["create_issue", "delete"]),
        _ => ("tools/list", ResourceKind::Server, &[]),
    };
    let resource = Resource {
        class: if names.is_empty() { MethodClass::List } else { MethodClass::Write },
        kind,
        method: method.to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        server: "tracker".to_owned(),
    };
    let context = Context {
        definition: if names.is_empty() { "none" } else { "approved" },
        gateway: "gate-1",
        peer: Some(IpAddr::from([192, 0, 2, 7])),
        protocol: Some("2026-07-28"),
        region: None,
        handle: None,
        request_bytes: 99,
        session: case.is_multiple_of(2),
        time: Time::from_unix_us(1_795_350_371_000_000),
        transport: Transport::Http,
    };
    let request = Request {
        call: CallId(Uuid::nil()),
        actor: &actor,
        resource: &resource,
        direction: Direction::ToServer,
        context,
    };
    let verdict = engine.decide(&request);
    let decision = verdict.decision().clone();
    assert_eq!(engine.would_permit(&request), decision.effect == Effect::Permit);
    decision
}

fn actor(verified: bool) -> Actor {
    let (kind, level) = match verified {
        true => (ActorKind::Workload, Level::VerifiedBearer),
        false => (ActorKind::Local, Level::Observed),
    };
    let evidence = Evidence::new(EvidenceKind::Jwt);
    let hop = Hop { evidence, id: "agent-7".to_owned(), level, role: HopRole::Agent };
    Actor {
        chain: [hop].into(),
        development: !verified,
        id: "agent-7".to_owned(),
        kind,
        level,
        provider: "ci".to_owned(),
        ..Actor::anonymous()
    }
}

/// How many requests there are.
const CASES: usize = 6;
const CLOSED_ID: &str = "nobody may do anything";
const CLOSED: &str = "@id(\"nobody may do anything\") forbid (principal, action, resource);";
/// What an engine begins with.
const FIRST: &str = policy::STARTER_POLICY;
