//! Clients of each transport that say what they are told to. They know nothing of the server behind the
//! gateway.

use super::framing::{data_of, written};
use super::odd::Era;
use super::servers::{Heard, Place, READY};
use crate::client::{Ask, Reply};
use crate::event_stream::Client as EventStream;
use crate::messages::{INITIALIZE, INITIALIZED, legacy};
use crate::rig::Rig;
use crate::trail::Trail;
use crate::wrap::Wrapped;
use crate::wrap_url::Remote;
use http::Method;
use tokio::task::JoinHandle;

pub(super) trait Client {
    async fn open(&mut self);

    /// Says something: how it is written.
    async fn say(&mut self, message: &str, what: Heard) -> String;

    /// What was said and is owed no answer has been taken.
    async fn settle(&mut self);

    /// What the server said there.
    async fn hear(&mut self, place: Place) -> String;

    async fn close(self) -> Trail;
}

/// A client of Streamable HTTP.
pub(super) struct OverHttp {
    rig: Rig,
    era: Era,
    /// Whether it asks for the stream of the server's own messages, and whether that is announced.
    listens: bool,
    announced: bool,
    session: String,
    own: Option<Reply>,
    asked: Option<JoinHandle<Reply>>,
    stream: Option<Reply>,
    told: Option<JoinHandle<Reply>>,
}

impl OverHttp {
    pub(super) fn new(rig: Rig, era: Era) -> Self {
        let (own, asked, stream, told) = (None, None, None, None);
        let session = String::new();
        Self { rig, era, listens: false, announced: false, session, own, asked, stream, told }
    }

    pub(super) fn listening(self, announced: bool) -> Self {
        Self { listens: true, announced, ..self }
    }
}

impl Client for OverHttp {
    async fn open(&mut self) {
        if self.era == Era::Stateless {
            return;
        }
        self.session = self.rig.session().await;
        if self.listens {
            let ask = Ask::new(Method::GET).session(&self.session);
            let mut own = self.rig.send(ask).await;
            if self.announced {
                assert_eq!(data_of(&own.event().await), READY);
            }
            self.own = Some(own);
        }
    }

    async fn say(&mut self, message: &str, what: Heard) -> String {
        let ask = match self.era {
            Era::Sessions => legacy(&self.session, message),
            Era::Stateless => super::call(message, &[]),
        };
        let ask = ask.token(&self.rig.token("alice"));
        let sent = tokio::spawn(ask.send(self.rig.address));
        match what {
            Heard::Request => {
                self.stream = None;
                self.asked = Some(sent);
            }
            Heard::Other => self.told = Some(sent),
        }
        message.to_owned()
    }

    async fn settle(&mut self) {
        let told = self.told.take().unwrap().await.unwrap();
        assert_eq!(told.status, 202);
    }

    async fn hear(&mut self, place: Place) -> String {
        if place == Place::Aside {
            return data_of(&self.own.as_mut().unwrap().event().await);
        }
        let mut reply = match self.stream.take() {
            Some(stream) => stream,
            None => self.asked.take().unwrap().await.unwrap(),
        };
        if place == Place::Whole {
            assert_eq!(reply.headers["content-type"], "application/json");
            return String::from_utf8(reply.bytes().await.to_vec()).unwrap();
        }
        assert_eq!(reply.headers["content-type"], "text/event-stream");
        let event = reply.event().await;
        self.stream = Some(reply);
        data_of(&event)
    }

    async fn close(self) -> Trail {
        drop((self.own, self.stream));
        self.rig.stop().await
    }
}

/// A client of HTTP+SSE.
pub(super) struct OfEvents {
    rig: Rig,
    client: EventStream,
    announced: bool,
    told: Option<JoinHandle<Reply>>,
}

impl OfEvents {
    pub(super) async fn new(rig: Rig, announced: bool) -> Self {
        let client = EventStream::connect(&rig, "/sse").await;
        Self { rig, client, announced, told: None }
    }
}

impl Client for OfEvents {
    async fn open(&mut self) {
        self.client.open(&self.rig).await;
        if self.announced {
            assert_eq!(self.client.hear().await, READY);
        }
    }

    async fn say(&mut self, message: &str, _what: Heard) -> String {
        let ask = crate::event_stream::at(Method::POST, &self.client.endpoint, message);
        let ask = ask.token(&self.rig.token("alice"));
        self.told = Some(tokio::spawn(ask.send(self.rig.address)));
        message.to_owned()
    }

    async fn settle(&mut self) {
        let told = self.told.take().unwrap().await.unwrap();
        assert_eq!(told.status, 202);
    }

    async fn hear(&mut self, _place: Place) -> String {
        data_of(&self.client.stream.event().await)
    }

    async fn close(self) -> Trail {
        drop(self.client);
        self.rig.stop().await
    }
}

/// A client on standard input of a wrapped program.
pub(super) struct OnLines {
    pub(super) wrapped: Wrapped,
    pub(super) era: Era,
}

impl Client for OnLines {
    async fn open(&mut self) {
        if self.era == Era::Sessions {
            self.wrapped.say(&written(INITIALIZE)).await;
            self.wrapped.hear().await;
            self.wrapped.say(&written(INITIALIZED)).await;
        }
    }

    async fn say(&mut self, message: &str, _what: Heard) -> String {
        let line = written(message);
        self.wrapped.say(&line).await;
        line
    }

    async fn settle(&mut self) {}

    async fn hear(&mut self, _place: Place) -> String {
        self.wrapped.hear().await
    }

    async fn close(self) -> Trail {
        let (_, rest, trail) = self.wrapped.close().await;
        assert_eq!(rest, "");
        trail
    }
}

/// A client on standard input in front of a server of Streamable HTTP.
pub(super) struct FromLines {
    pub(super) remote: Remote,
    pub(super) era: Era,
}

impl Client for FromLines {
    async fn open(&mut self) {
        if self.era == Era::Sessions {
            self.remote.say(INITIALIZE).await;
            self.remote.hear().await;
            self.remote.say(INITIALIZED).await;
        }
    }

    async fn say(&mut self, message: &str, _what: Heard) -> String {
        let line = written(message);
        self.remote.write(&line).await;
        line
    }

    async fn settle(&mut self) {}

    async fn hear(&mut self, _place: Place) -> String {
        self.remote.line().await
    }

    async fn close(self) -> Trail {
        self.remote.close().await
    }
}
