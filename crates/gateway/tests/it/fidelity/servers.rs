//! Servers that say what they are told to, over each transport, and keep what they heard. They know
//! nothing of who is at the other end.

use super::framing::{data, event_of, written};
use super::odd::{Dialogue, Era};
use crate::messages::{INITIALIZE, INITIALIZED};
use crate::sse_servers::ANSWER;
use crate::upstream::{Held, Stream, Upstream, Waiting, empty, json};
use std::future::pending;
use tempfile::TempDir;

/// What tells a client that the stream of the server's own messages is open.
pub(super) const READY: &str = r#"{"jsonrpc":"2.0","method":"notifications/ready"}"#;

/// What a server hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Request,
    /// An answer or a notification, which it takes.
    Other,
}

/// Where a server says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the stream of its own messages.
    Aside,
    /// On the stream that answers the call.
    Stream,
    /// As the one body that answers the call.
    Whole,
}

pub(super) trait Server {
    /// Lets a client open its session.
    async fn open(&mut self);

    async fn hear(&mut self, what: Heard);

    /// Says something before the answer: how it is written, and where.
    async fn say(&mut self, message: &str, aside: bool) -> (String, Place);

    async fn answer(&mut self, message: &str, whole: bool) -> (String, Place);

    /// Takes what comes at the end, for as long as it is asked to.
    async fn drain(&mut self);

    /// Everything that was heard since the session was open.
    fn heard(&self) -> Vec<String>;
}

/// A server over Streamable HTTP.
pub(super) struct Streamable {
    pub(super) upstream: Upstream,
    waiting: Waiting,
    era: Era,
    /// Whether its client asks for the stream of its own messages.
    listened_to: bool,
    own: Option<Stream>,
    call: Option<Held>,
    stream: Option<Stream>,
    heard: Vec<String>,
}

impl Streamable {
    pub(super) async fn start(era: Era, listened_to: bool) -> Self {
        let (upstream, waiting) = match era {
            Era::Sessions => Upstream::with_sessions().await,
            Era::Stateless => Upstream::held().await,
        };
        let (own, call, stream) = (None, None, None);
        Self { upstream, waiting, era, listened_to, own, call, stream, heard: Vec::new() }
    }
}

impl Server for Streamable {
    async fn open(&mut self) {
        if self.era == Era::Sessions && self.listened_to {
            let asked = self.waiting.next().await;
            assert_eq!(asked.seen.method, http::Method::GET);
            self.own = Some(asked.stream());
        }
    }

    async fn hear(&mut self, what: Heard) {
        let held = self.waiting.next().await;
        self.heard.push(String::from_utf8(held.seen.body.to_vec()).unwrap());
        match what {
            Heard::Request => self.call = Some(held),
            Heard::Other => held.answer(empty(202)),
        }
    }

    async fn say(&mut self, message: &str, aside: bool) -> (String, Place) {
        let data = data(message);
        if let Some(own) = self.own.as_ref().filter(|_| aside) {
            own.send(&event_of(&data)).await;
            return (data, Place::Aside);
        }
        let stream = self.stream.take().unwrap_or_else(|| self.call.take().unwrap().stream());
        stream.send(&event_of(&data)).await;
        self.stream = Some(stream);
        (data, Place::Stream)
    }

    async fn answer(&mut self, message: &str, whole: bool) -> (String, Place) {
        if let Some(call) = self.call.take_if(|_| whole) {
            call.answer(json(message.to_owned()));
            return (message.to_owned(), Place::Whole);
        }
        let said = self.say(message, false).await;
        self.stream = None;
        said
    }

    async fn drain(&mut self) {
        self.own = None;
        loop {
            self.waiting.next().await.answer(empty(200));
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.clone()
    }
}

/// A server of HTTP+SSE.
pub(super) struct OfEvents {
    pub(super) upstream: Upstream,
    waiting: Waiting,
    listened_to: bool,
    stream: Option<Stream>,
    /// Something was said since the request.
    begun: bool,
    heard: Vec<String>,
}

impl OfEvents {
    pub(super) async fn start(listened_to: bool) -> Self {
        let (upstream, waiting) = Upstream::held().await;
        Self { upstream, waiting, listened_to, stream: None, begun: false, heard: Vec::new() }
    }

    async fn take(&mut self) -> String {
        let held = self.waiting.next().await;
        assert_eq!(held.seen.method, http::Method::POST);
        let body = String::from_utf8(held.seen.body.to_vec()).unwrap();
        held.answer(empty(202));
        body
    }
}

impl Server for OfEvents {
    async fn open(&mut self) {
        let stream = self.waiting.next().await.stream();
        stream.send("event: endpoint\ndata: /in\n\n").await;
        assert_eq!(self.take().await, INITIALIZE);
        stream.message(ANSWER).await;
        assert_eq!(self.take().await, INITIALIZED);
        if self.listened_to {
            stream.message(READY).await;
        }
        self.stream = Some(stream);
    }

    async fn hear(&mut self, what: Heard) {
        let body = self.take().await;
        self.heard.push(body);
        self.begun &= what == Heard::Other;
    }

    async fn say(&mut self, message: &str, _aside: bool) -> (String, Place) {
        let data = data(message);
        self.stream.as_ref().unwrap().send(&event_of(&data)).await;
        if self.listened_to {
            return (data, Place::Aside);
        }
        self.begun = true;
        (data, Place::Stream)
    }

    async fn answer(&mut self, message: &str, _whole: bool) -> (String, Place) {
        let data = data(message);
        self.stream.as_ref().unwrap().send(&event_of(&data)).await;
        (data, if self.begun { Place::Stream } else { Place::Whole })
    }

    async fn drain(&mut self) {
        pending::<()>().await;
    }

    fn heard(&self) -> Vec<String> {
        self.heard.clone()
    }
}

/// A local program, which follows a script: what it hears and says is known beforehand.
pub(super) struct Program {
    directory: TempDir,
    era: Era,
    listened_to: bool,
    begun: bool,
}

/// Each line of the script is said, or tells to hear one and keep it.
const PROGRAM: &str = r#"
exec 3<"$DIRECTORY/script"
while IFS= read -r step <&3; do
  case $step in
    hear) IFS= read -r line || exit 1; printf '%s\n' "$line" >>"$DIRECTORY/heard" ;;
    *) printf '%s\n' "$step" ;;
  esac
done
while IFS= read -r line; do printf '%s\n' "$line" >>"$DIRECTORY/heard"; done
"#;

const HEAR: &str = "hear\n";

impl Program {
    pub(super) fn new(dialogues: &[Dialogue], era: Era, listened_to: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut script = String::new();
        if era == Era::Sessions {
            script += &[HEAR, ANSWER, "\n", HEAR].concat();
        }
        if listened_to {
            script += &written(READY);
        }
        for said in dialogues {
            script += HEAR;
            if said.chatty {
                script += &written(&said.note);
                if era == Era::Sessions {
                    script += &[&written(&said.question), HEAR, HEAR].concat();
                }
            }
            script += &written(&said.answer);
        }
        std::fs::write(directory.path().join("script"), script).unwrap();
        Self { directory, era, listened_to, begun: false }
    }

    /// It as a program for `/bin/sh`.
    pub(super) fn script(&self) -> String {
        PROGRAM.replace("$DIRECTORY", self.directory.path().to_str().unwrap())
    }
}

impl Server for Program {
    async fn open(&mut self) {}

    async fn hear(&mut self, what: Heard) {
        self.begun &= what == Heard::Other;
    }

    async fn say(&mut self, message: &str, _aside: bool) -> (String, Place) {
        if self.listened_to {
            return (written(message), Place::Aside);
        }
        self.begun = true;
        (written(message), Place::Stream)
    }

    async fn answer(&mut self, message: &str, _whole: bool) -> (String, Place) {
        (written(message), if self.begun { Place::Stream } else { Place::Whole })
    }

    async fn drain(&mut self) {
        pending::<()>().await;
    }

    fn heard(&self) -> Vec<String> {
        let heard = std::fs::read_to_string(self.directory.path().join("heard")).unwrap();
        let opening = if self.era == Era::Sessions { 2 } else { 0 };
        heard.split_inclusive('\n').skip(opening).map(str::to_owned).collect()
    }
}
