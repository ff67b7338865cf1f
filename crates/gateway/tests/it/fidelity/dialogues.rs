//! Everything that is said about a call passes between each kind of client and each kind of server, but
//! for the changes of `framing`: what is asked and answered, and what the server asks and tells.

use super::clients::{Client, FromLines, OfEvents as EventsClient, OnLines, OverHttp};
use super::framing::{bare, event_passed_on, in_event, line};
use super::odd::{Dialogue, Era, dialogue};
use super::servers::{Heard, OfEvents, Place, Program, Server, Streamable};
use crate::rig::{Plan, Rig};
use crate::wrap::Wrapped;
use crate::wrap_url::Remote;
use gateway::config::Server as Definition;
use gateway::tls::ServerTls;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// Dialogues of each test.
const CASES: usize = 24;

/// What becomes of the messages of a client and of a server between these two.
struct Between {
    up: fn(&str) -> String,
    down: fn(&str, Place) -> String,
}

/// Nothing is changed.
fn as_it_is(message: &str) -> String {
    message.to_owned()
}

fn dialogues(era: Era) -> Vec<Dialogue> {
    let mut runner = TestRunner::default();
    let strategy = dialogue(era);
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Both ends of the gateway, and what was sent to the server so far.
struct Ends<C, S> {
    client: C,
    server: S,
    between: Between,
    sent: Vec<String>,
}

impl<C: Client, S: Server> Ends<C, S> {
    /// The client says something that the server hears.
    async fn tell(&mut self, message: &str, what: Heard) {
        self.sent.push(self.client.say(message, what).await);
        self.server.hear(what).await;
    }

    /// The client hears what the server said.
    async fn hear(&mut self, (wire, place): (String, Place)) {
        let heard = self.client.hear(place).await;
        assert_eq!(heard, (self.between.down)(&wire, place), "{wire}");
    }

    async fn hold(&mut self, said: &Dialogue, era: Era) {
        self.tell(&said.request, Heard::Request).await;
        if said.chatty {
            let spoken = self.server.say(&said.note, said.aside).await;
            self.hear(spoken).await;
        }
        if said.chatty && era == Era::Sessions {
            let spoken = self.server.say(&said.question, said.aside).await;
            self.hear(spoken).await;
            for message in [&said.reply, &said.told] {
                self.tell(message, Heard::Other).await;
                self.client.settle().await;
            }
        }
        let spoken = self.server.answer(&said.answer, said.whole).await;
        self.hear(spoken).await;
    }
}

/// Holds the dialogues, and compares what was said to what was heard.
async fn hold(
    client: impl Client,
    server: impl Server,
    (dialogues, era): (&[Dialogue], Era),
    between: Between,
) {
    let mut ends = Ends { client, server, between, sent: Vec::new() };
    tokio::join!(ends.client.open(), ends.server.open());
    for said in dialogues {
        ends.hold(said, era).await;
    }
    let Ends { client, mut server, between, sent } = ends;
    let trail = tokio::select! {
        trail = client.close() => trail,
        () = server.drain() => panic!("nobody told the server to end"),
    };
    let wanted: Vec<String> = sent.iter().map(|message| (between.up)(message)).collect();
    assert_eq!(server.heard(), wanted);
    assert!(trail.refusals().is_empty(), "{:#?}", trail.refusals());
    assert_eq!(trail.calls("tools/call").len(), dialogues.len());
}

fn events_plan(server: &OfEvents) -> Plan {
    let url = format!("http://{}/events", server.upstream.address).parse().unwrap();
    Plan::in_front_of(Definition::Sse { url, tls: ServerTls::default() })
}

async fn gateway(plan: Plan) -> Rig {
    plan.start().await
}

const TO_HTTP_FROM_HTTP: Between = Between {
    up: as_it_is,
    down: |message, place| match place {
        Place::Whole => message.to_owned(),
        Place::Aside | Place::Stream => event_passed_on(message),
    },
};

/// A line, or an event of HTTP+SSE, becomes the body that answers the call, or an event.
const fn to_http(up: fn(&str) -> String) -> Between {
    let down = |message: &str, place| match place {
        Place::Whole => bare(message),
        Place::Aside | Place::Stream => in_event(message),
    };
    Between { up, down }
}

#[tokio::test]
async fn http_to_http() {
    for (era, listens) in [(Era::Sessions, false), (Era::Sessions, true), (Era::Stateless, false)] {
        let dialogues = dialogues(era);
        let server = Streamable::start(era, listens).await;
        let client = OverHttp::new(gateway(Plan::http(&server.upstream)).await, era);
        let client = if listens { client.listening(false) } else { client };
        hold(client, server, (&dialogues, era), TO_HTTP_FROM_HTTP).await;
    }
}

#[tokio::test]
async fn http_to_event_servers() {
    for listens in [false, true] {
        let dialogues = dialogues(Era::Sessions);
        let server = OfEvents::start(listens).await;
        let client = OverHttp::new(gateway(events_plan(&server)).await, Era::Sessions);
        let client = if listens { client.listening(true) } else { client };
        hold(client, server, (&dialogues, Era::Sessions), to_http(as_it_is)).await;
    }
}

#[tokio::test]
async fn http_to_programs() {
    for (era, listens) in [(Era::Sessions, false), (Era::Sessions, true), (Era::Stateless, false)] {
        let dialogues = dialogues(era);
        let server = Program::new(&dialogues, era, listens);
        let client = OverHttp::new(gateway(Plan::sh(&server.script())).await, era);
        let client = if listens { client.listening(true) } else { client };
        hold(client, server, (&dialogues, era), to_http(line)).await;
    }
}

#[tokio::test]
async fn event_clients_to_http() {
    let dialogues = dialogues(Era::Sessions);
    let server = Streamable::start(Era::Sessions, true).await;
    let client = EventsClient::new(gateway(Plan::http(&server.upstream)).await, false).await;
    let between = Between { up: as_it_is, down: |message, _| in_event(message) };
    hold(client, server, (&dialogues, Era::Sessions), between).await;
}

/// A line, or an event of HTTP+SSE, becomes an event; where it is an answer, without the white space
/// around it.
fn in_bare_event(message: &str, place: Place) -> String {
    match place {
        Place::Whole => in_event(&bare(message)),
        Place::Aside | Place::Stream => in_event(message),
    }
}

#[tokio::test]
async fn event_clients_to_event_servers() {
    let dialogues = dialogues(Era::Sessions);
    let server = OfEvents::start(true).await;
    let client = EventsClient::new(gateway(events_plan(&server)).await, true).await;
    let between = Between { up: as_it_is, down: in_bare_event };
    hold(client, server, (&dialogues, Era::Sessions), between).await;
}

#[tokio::test]
async fn event_clients_to_programs() {
    let dialogues = dialogues(Era::Sessions);
    let server = Program::new(&dialogues, Era::Sessions, true);
    let client = EventsClient::new(gateway(Plan::sh(&server.script())).await, true).await;
    let between = Between { up: line, down: in_bare_event };
    hold(client, server, (&dialogues, Era::Sessions), between).await;
}

#[tokio::test]
async fn lines_to_programs() {
    for era in [Era::Sessions, Era::Stateless] {
        let dialogues = dialogues(era);
        let server = Program::new(&dialogues, era, false);
        let client = OnLines { wrapped: Wrapped::start(&server.script()), era };
        let between = Between { up: line, down: |message, _| line(message) };
        hold(client, server, (&dialogues, era), between).await;
    }
}

#[tokio::test]
async fn lines_to_http() {
    for era in [Era::Sessions, Era::Stateless] {
        let dialogues = dialogues(era);
        let server = Streamable::start(era, true).await;
        let client = FromLines { remote: Remote::start(&server.upstream), era };
        let between = Between { up: bare, down: |message, _| line(message) };
        hold(client, server, (&dialogues, era), between).await;
    }
}
