//! Servers that change what they declare, honestly or not, page by page.

use super::{Approval, Changed, Inventory, NotDeclared, Settings, Sighting, State};
use event::Time;
use mcp::{Limits, ListKind, Listing};
use proptest::prelude::*;

const TOOLS: ListKind = ListKind::Tools;

struct Watch {
    inventory: Inventory,
    seconds: i64,
}

impl Watch {
    fn new(trust_on_first_use: bool) -> Self {
        Self { inventory: Inventory::new(Settings { trust_on_first_use }), seconds: 0 }
    }

    /// Shows `actor` a page of tools, each a name and a description; says what changed.
    fn page(
        &mut self,
        actor: &str,
        (cursor, next): (Option<&str>, Option<&str>),
        tools: &[(&str, &str)],
    ) -> Vec<(String, Changed, State)> {
        let tools: Vec<_> = tools
            .iter()
            .map(|(name, text)| serde_json::json!({"name": name, "description": text}))
            .collect();
        let result = serde_json::json!({"tools": tools, "nextCursor": next});
        let message = serde_json::json!({"id": 1, "result": result}).to_string();
        let limits = Limits::for_replies();
        let listing = Listing::read(message.as_bytes(), TOOLS, &limits).unwrap().unwrap();
        self.seconds += 1;
        let now = Time::from_unix_us(self.seconds * 1_000_000);
        let examined =
            self.inventory.examine(&Sighting { server: "s", actor, cursor, now }, &listing);
        let changes = examined.changes.clone();
        self.inventory.apply(examined);
        for change in changes.iter().filter(|change| change.changed != Changed::Removed) {
            assert!(change.after.is_some());
        }
        changes.into_iter().map(|change| (change.name, change.changed, change.state)).collect()
    }

    fn list(&mut self, actor: &str, tools: &[(&str, &str)]) -> Vec<(String, Changed, State)> {
        self.page(actor, (None, None), tools)
    }

    fn state(&self, name: &str) -> State {
        self.inventory.state("s", TOOLS, name)
    }

    fn approval(&self, name: &str) -> Approval {
        let mut entries = self.inventory.entries();
        let (_, _, _, entry) = entries.find(|(_, _, known, _)| *known == name).unwrap();
        Approval {
            server: "s".to_owned(),
            kind: TOOLS,
            name: name.to_owned(),
            digest: entry.latest().unwrap().digest.clone(),
            settled: entry.shown.iter().map(|shown| shown.digest.clone()).collect(),
            beside: false,
        }
    }
}

fn seen(name: &str, changed: Changed, state: State) -> (String, Changed, State) {
    (name.to_owned(), changed, state)
}

#[test]
fn a_description_that_changes_is_noticed_once_and_stays_so_until_it_is_approved() {
    let mut watch = Watch::new(true);
    let first = watch.list("alice", &[("add", "adds"), ("sub", "subtracts")]);
    let added = |name| seen(name, Changed::Added, State::Approved);
    assert_eq!(first, [added("add"), added("sub")]);
    assert_eq!(watch.list("bob", &[("sub", "subtracts"), ("add", "adds")]), []);

    let rugged = watch.list("bob", &[("add", "adds, and mails it"), ("sub", "subtracts")]);
    assert_eq!(rugged, [seen("add", Changed::Differs, State::Changed)]);
    assert_eq!(watch.list("bob", &[("add", "adds, and mails it"), ("sub", "subtracts")]), []);
    // Showing the old form again, to whomever, does not make it good.
    assert_eq!(watch.list("bob", &[("add", "adds"), ("sub", "subtracts")]), []);
    assert_eq!(watch.list("alice", &[("add", "adds"), ("sub", "subtracts")]), []);
    assert_eq!((watch.state("add"), watch.state("sub")), (State::Changed, State::Approved));

    let approval = watch.approval("add");
    let before = watch.inventory.approve(&approval).unwrap();
    assert!(before.unwrap().text.unwrap().contains("\"adds\""));
    assert_eq!(watch.state("add"), State::Approved);
    // What was approved before is not any more.
    let back = watch.list("bob", &[("add", "adds"), ("sub", "subtracts")]);
    assert_eq!(back, [seen("add", Changed::Differs, State::Changed)]);
}

#[test]
fn both_forms_can_be_approved() {
    let mut watch = Watch::new(true);
    watch.list("alice", &[("find", "in alice's files")]);
    watch.list("bob", &[("find", "in bob's files")]);
    assert_eq!(watch.state("find"), State::Changed);
    let approval = Approval { beside: true, ..watch.approval("find") };
    watch.inventory.approve(&approval).unwrap();
    assert_eq!(watch.list("alice", &[("find", "in alice's files")]), []);
    assert_eq!(watch.list("bob", &[("find", "in bob's files")]), []);
    assert_eq!(watch.state("find"), State::Approved);
}

#[test]
fn an_approval_does_not_cover_what_was_shown_after_it_was_given() {
    let mut watch = Watch::new(true);
    watch.list("a", &[("t", "1")]);
    watch.list("a", &[("t", "2")]);
    let approval = watch.approval("t");
    watch.list("a", &[("t", "3")]);
    watch.inventory.approve(&approval).unwrap();
    assert_eq!(watch.state("t"), State::Changed);
    let approval = watch.approval("t");
    watch.inventory.approve(&approval).unwrap();
    assert_eq!(watch.state("t"), State::Approved);
    let never = Approval { digest: "sha256:00".to_owned(), ..approval.clone() };
    assert_eq!(watch.inventory.approve(&never), Err(NotDeclared));
    assert_eq!(
        watch.inventory.approve(&Approval { name: "u".to_owned(), ..approval }),
        Err(NotDeclared)
    );
}

#[test]
fn only_the_first_listing_is_trusted_on_first_use() {
    let mut watch = Watch::new(true);
    watch.page("a", (None, Some("2")), &[("one", "")]);
    watch.page("a", (Some("2"), None), &[("two", ""), ("two", "other")]);
    assert_eq!(watch.state("one"), State::Approved);
    assert_eq!(watch.state("two"), State::Changed, "shown in two forms at once");
    let later = watch.list("b", &[("one", ""), ("three", "")]);
    assert_eq!(later, [seen("three", Changed::Added, State::Unreviewed)]);
    let rugged = watch.list("b", &[("three", "x")]);
    assert_eq!(rugged[0], seen("three", Changed::Differs, State::Changed));

    // A listing that never ends is over when another one begins.
    let mut watch = Watch::new(true);
    watch.page("a", (None, Some("2")), &[("one", "")]);
    watch.page("a", (None, Some("2")), &[("one", ""), ("late", "")]);
    assert_eq!(watch.state("late"), State::Unreviewed);
    watch.page("a", (Some("2"), Some("3")), &[("later", "")]);
    assert_eq!(watch.state("later"), State::Unreviewed);

    let mut watch = Watch::new(false);
    watch.list("a", &[("one", "")]);
    assert_eq!(watch.state("one"), State::Unreviewed);
    assert_eq!(watch.state("none"), State::Unknown);
}

#[test]
fn removal_shows_only_in_a_complete_listing_of_somebody_who_had_seen_it() {
    let mut watch = Watch::new(true);
    let both = [("one", ""), ("two", "")];
    watch.list("a", &both);
    assert_eq!(watch.list("b", &both[..1]), [], "b may never have been allowed to see it");
    assert_eq!(watch.page("a", (None, Some("x")), &both[..1]), [], "more may come");
    assert_eq!(watch.page("a", (Some("x"), None), &both[1..]), [], "and did");
    assert_eq!(watch.page("a", (Some("y"), None), &both[..1]), [], "a page of who knows what");
    watch.page("a", (None, Some("x")), &both[..1]);
    let gone = watch.page("a", (Some("x"), None), &[]);
    assert_eq!(gone, [seen("two", Changed::Removed, State::Approved)]);
    assert_eq!(watch.list("a", &both[..1]), [], "it is said once");
    let back = watch.list("b", &both);
    assert_eq!(back, [seen("two", Changed::Added, State::Approved)]);
    let gone = watch.list("b", &both[..1]);
    assert_eq!(gone, [seen("two", Changed::Removed, State::Approved)]);
    let other = watch.list("b", &[("one", ""), ("two", "other")]);
    assert_eq!(other, [seen("two", Changed::Differs, State::Changed)]);
}

#[test]
fn a_server_that_shows_ever_new_things_is_bounded() {
    let mut watch = Watch::new(true);
    for form in 0..100 {
        let changes = watch.list("a", &[("t", &form.to_string())]);
        assert_eq!(changes.len(), 1);
    }
    let (_, _, _, entry) = watch.inventory.entries().next().unwrap();
    assert_eq!((entry.accepted.len(), entry.shown.len()), (1, super::SHOWN_MAX));
    assert!(entry.latest().unwrap().text.as_ref().unwrap().contains("99"));
}

#[test]
fn the_state_survives_a_restart_to_the_byte() {
    let mut watch = Watch::new(true);
    watch.list("a", &[("t", "1"), ("u", "2")]);
    watch.list("a", &[("t", "3")]);
    let json = watch.inventory.to_json();
    let again = Inventory::from_json(&json, Settings::default()).unwrap();
    assert_eq!(again.to_json(), json);
    assert_eq!(again.state("s", TOOLS, "t"), State::Changed);
    let mut watch = Watch { inventory: again, seconds: 9 };
    assert_eq!(watch.list("b", &[("t", "3"), ("u", "2")])[0].1, Changed::Added, "u is back");
    assert_eq!(watch.list("b", &[("new", "")])[0].2, State::Unreviewed, "first use is over");

    let text = String::from_utf8(json).unwrap();
    for broken in [
        text.replace("\"version\": 1", "\"version\": 2"),
        text.replace("\"known\"", "\"unknown\""),
        text.replace("\"tool\"", "\"hammer\""),
        text.replace("\"digest\"", "\"digest\": \"x\", \"digest\""),
        text.trim_end_matches('}').to_owned(),
        String::new(),
    ] {
        assert!(Inventory::from_json(broken.as_bytes(), Settings::default()).is_err(), "{broken}");
    }
}

proptest! {
    /// Whatever is listed to whom, in whatever pages: an item whose every shown form is approved is
    /// approved, and one that was shown in any other form is not.
    #[test]
    fn no_order_of_listings_hides_a_form(
        pages in prop::collection::vec(
            (0..3_usize, prop::collection::vec((0..3_usize, 0..3_usize), 0..4), any::<bool>()),
            1..12,
        ),
    ) {
        let (actors, names, texts) = (["a", "b", "c"], ["x", "y", "z"], ["1", "2", "3"]);
        let mut watch = Watch::new(true);
        let mut forms = std::collections::BTreeMap::<&str, std::collections::BTreeSet<&str>>::new();
        for (actor, tools, more) in &pages {
            let tools: Vec<_> = tools.iter().map(|(n, t)| (names[*n], texts[*t])).collect();
            watch.page(actors[*actor], (None, more.then_some("c")), &tools);
            for (name, text) in &tools {
                forms.entry(name).or_default().insert(text);
            }
            for name in names {
                let state = watch.state(name);
                match forms.get(name).map(std::collections::BTreeSet::len) {
                    None => prop_assert_eq!(state, State::Unknown),
                    Some(1) => prop_assert!(matches!(state, State::Approved | State::Unreviewed)),
                    Some(_) => prop_assert_eq!(state, State::Changed),
                }
            }
        }
    }
}
