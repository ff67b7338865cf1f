//! One server program, or one connection to a server of HTTP+SSE, and everybody who talks to it: which
//! of its messages belongs to which exchange. It routes; it judges nothing.
//!
//! Lines pass unchanged, except where clients that share a program use the same request id or
//! progress token at the same time: the later one is given a number of its own on the way in, and
//! its own back on the way out.

mod lost;

use super::http::SendError;
use super::lines::Lines;
use super::peer::Peer;
use super::process::{Line, Process, SpawnError, read_line};
use super::splice;
use super::sse::{Spoken, SseUpstream};
use super::waiting::{Backlog, LINES_MAX, LineReceiver, LineSender, NotPut, Waiting};
use crate::array;
use crate::asked::Asked;
use crate::call::Call;
use crate::config::Command;
use crate::proof::Proof;
use crate::withheld::{Strays, Withholding};
use bytes::Bytes;
use mcp::{Frame, Message, Method, Params, RequestId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::BufReader;
use tokio::process::ChildStdout;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Where the numbers begin that stand in for ids in use twice: far from what clients count up to, and
/// exact as a JSON number everywhere.
const OWN_IDS_FROM: i64 = 1 << 51;

/// Calls that ended since they were behind, whose progress is known for what it is.
const SILENCED_MAX: usize = 64;

/// A running program or an open connection, and its routes.
#[derive(Debug)]
pub(crate) struct Conversation {
    peer: Peer,
    routes: Mutex<Routes>,
    /// What it says that concerns nobody.
    strays: Strays,
    /// Answers to what it asked in vain, on their way to it.
    answers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Routes {
    by_id: HashMap<RequestId, Route>,
    by_token: HashMap<RequestId, RequestId>,
    /// Of calls that ended since they were behind, the latest last: nobody else wants to hear of them.
    silenced: VecDeque<RequestId>,
    /// Takes what belongs to no exchange.
    listener: Option<LineSender>,
    backlog: Backlog,
    waiting: Waiting,
    next_own: i64,
    next_serial: u64,
    last_used: Instant,
    ended: bool,
}

#[derive(Debug)]
struct Route {
    lines: LineSender,
    /// The client's own id, where the program was given another.
    id: Option<String>,
    /// The token as the program knows it, and the client's own where they differ.
    token: Option<(RequestId, Option<String>)>,
    /// Whether it takes notifications by subscription id.
    listens: bool,
    serial: u64,
}

impl Conversation {
    /// Starts the program and begins to read what it says.
    pub(crate) fn start(
        command: &Command,
        line_bytes_max: usize,
        slot: OwnedSemaphorePermit,
        strays: Strays,
    ) -> Result<Arc<Self>, SpawnError> {
        let mut process = Process::spawn(command)?;
        let output = process.take_output();
        let conversation = Self::with(Peer::program(process, slot), line_bytes_max, strays);
        if let Some(output) = output {
            tokio::spawn(read_output(Arc::clone(&conversation), output, line_bytes_max));
        }
        Ok(conversation)
    }

    /// Connects to a server of HTTP+SSE on behalf of a call and begins to read what it says.
    pub(crate) async fn connect(
        upstream: &SseUpstream,
        proof: Proof<'_>,
    ) -> Result<Arc<Self>, SendError> {
        let (endpoint, spoken) = upstream.open(proof).await?;
        let ended = CancellationToken::new();
        let peer = Peer::stream(endpoint, proof, ended.clone());
        let line_bytes_max = upstream.event_bytes_max;
        let conversation = Self::with(peer, line_bytes_max, upstream.strays.another());
        tokio::spawn(read_stream(Arc::clone(&conversation), spoken, ended));
        Ok(conversation)
    }

    fn with(peer: Peer, line_bytes_max: usize, strays: Strays) -> Arc<Self> {
        let routes = Mutex::new(Routes::new(line_bytes_max, Instant::now()));
        let answers = Arc::new(Semaphore::new(LINES_MAX));
        Arc::new(Self { peer, routes, strays, answers })
    }

    /// Sends a request; the lines that answer it come back.
    pub(crate) async fn call(
        self: &Arc<Self>,
        asked: &Asked,
        call: &Call,
        raw: Bytes,
    ) -> Result<Lines, SendError> {
        self.strays.settle();
        let Opened { queue, id, serial, line } = self.routes().open(call, raw)?;
        if let Err(error) = self.peer.send(asked.proof(), line).await {
            self.forget(&id, serial);
            return Err(error);
        }
        Ok(Lines::new(queue, Arc::clone(self), Some((id, serial))))
    }

    /// Sends a message that is owed no answer.
    pub(crate) async fn send(&self, proof: Proof<'_>, raw: Bytes) -> Result<(), SendError> {
        self.peer.send(proof, raw).await
    }

    /// Sends a message that the gateway itself wrote in answer to the server.
    pub(crate) async fn send_own(&self, message: Bytes) -> Result<(), SendError> {
        self.peer.send_own(message).await
    }

    /// Opens the stream of everything that belongs to no exchange; an earlier one ends.
    pub(crate) fn listen(self: &Arc<Self>) -> Lines {
        let mut routes = self.routes();
        let (lines, queue) = routes.waiting.queue();
        while let Some(line) = routes.backlog.pop() {
            // There is room: the queue is new and as large as the backlog.
            routes.waiting.put(&lines, line).ok();
        }
        if !routes.ended {
            routes.listener = Some(lines);
        }
        Lines::new(queue, Arc::clone(self), None)
    }

    /// Tells the program that the answer to `id` is not wanted any more. The id may be another's by now:
    /// the serial number tells.
    pub(crate) async fn cancel(&self, id: &RequestId, serial: u64, proof: Proof<'_>) {
        if !self.forget(id, serial) {
            return;
        }
        let message = Bytes::from(mcp::build::cancelled(id, Some("the client went away")));
        if let Err(error) = self.send(proof, message).await {
            tracing::debug!(%error, "server program could not be told of a cancellation");
        }
    }

    /// Forgets the exchange that waits for the answer to `id`; whether it did.
    pub(crate) fn forget(&self, id: &RequestId, serial: u64) -> bool {
        let mut routes = self.routes();
        let is_own = routes.by_id.get(id).is_some_and(|route| route.serial == serial);
        is_own && routes.close(id).is_some()
    }

    /// Whether the program has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.routes().ended
    }

    /// How long nobody has used the program; zero while an exchange is in progress.
    pub(crate) fn idle_for(&self, now: Instant) -> Duration {
        let routes = self.routes();
        if routes.by_id.is_empty() {
            now.saturating_duration_since(routes.last_used)
        } else {
            Duration::ZERO
        }
    }

    /// Ends the program in an orderly way, or closes the connection.
    pub(crate) async fn end(&self) {
        self.peer.end().await;
    }

    fn deliver(self: &Arc<Self>, message: &Bytes) {
        let mut routes = self.routes();
        let delivered = routes.deliver(message);
        let mut dropped = routes.backlog.take_dropped();
        dropped.extend(routes.waiting.take_dropped());
        drop(routes);
        if let Err(why) = delivered {
            self.strays.withhold(why, message.len());
        }
        let answers: Vec<_> = dropped.iter().filter_map(|line| self.lose(line)).collect();
        if !answers.is_empty() {
            self.answer(answers);
        }
    }

    /// Lets those run who take what was delivered, when it is much: a burst that is read at once would put
    /// them behind before they had a chance. Waits for nobody.
    async fn rest(&self) {
        for _ in 0..RESTS_MAX {
            if !self.routes().waiting.is_crowded() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new route.
#[derive(Debug)]
struct Opened {
    queue: LineReceiver,
    /// The id by which the program knows the request.
    id: RequestId,
    /// Which of those that had this id.
    serial: u64,
    /// The request as the program gets it.
    line: Bytes,
}

impl Routes {
    fn new(line_bytes_max: usize, now: Instant) -> Self {
        Self {
            by_id: HashMap::new(),
            by_token: HashMap::new(),
            silenced: VecDeque::new(),
            listener: None,
            backlog: Backlog::default(),
            waiting: Waiting::new(line_bytes_max),
            next_own: OWN_IDS_FROM,
            next_serial: 0,
            last_used: now,
            ended: false,
        }
    }

    /// Opens the route for the lines that answer a request.
    fn open(&mut self, call: &Call, raw: Bytes) -> Result<Opened, SendError> {
        let Some(own_id) = &call.id else {
            return Err(SendError::Full("a request has an id".to_owned()));
        };
        if self.ended {
            return Err(SendError::Unreachable("server program has ended".to_owned()));
        }
        let (lines, queue) = self.waiting.queue();
        let (mut line, mut id, mut shown_id) = (raw, own_id.clone(), None);
        if self.by_id.contains_key(own_id) {
            id = self.own();
            shown_id = splice::value_at(&line, splice::ID);
            line = splice::replace(&line, splice::ID, &id.to_string());
        }
        let token = call.progress_token.as_ref().map(|token| {
            if !self.by_token.contains_key(token) {
                return (token.clone(), None);
            }
            let other = self.own();
            let shown = splice::value_at(&line, splice::REQUEST_TOKEN);
            line = splice::replace(&line, splice::REQUEST_TOKEN, &other.to_string());
            (other, shown)
        });
        if let Some((token, _)) = &token {
            self.silenced.retain(|silenced| silenced != token);
            self.by_token.insert(token.clone(), id.clone());
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        self.last_used = Instant::now();
        let listens = matches!(call.method, Method::SubscriptionsListen);
        self.by_id.insert(id.clone(), Route { lines, id: shown_id, token, listens, serial });
        Ok(Opened { queue, id, serial, line })
    }

    /// A number that no client uses.
    fn own(&mut self) -> RequestId {
        self.next_own += 1;
        RequestId::from(self.next_own)
    }

    fn close(&mut self, id: &RequestId) -> Option<Route> {
        let route = self.by_id.remove(id)?;
        if let Some((token, _)) = &route.token {
            self.by_token.remove(token);
            if route.lines.is_behind() {
                if SILENCED_MAX <= self.silenced.len() {
                    self.silenced.pop_front();
                }
                self.silenced.push_back(token.clone());
            }
        }
        self.last_used = Instant::now();
        Some(route)
    }

    /// Sends a line of the program to whom it concerns; why not, when it concerns nobody.
    fn deliver(&mut self, line: &Bytes) -> Result<(), Withholding> {
        let limits = mcp::Limits::for_replies();
        let frame = match mcp::parse(line, &limits) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(%error, "server program wrote a line that is no message");
                return Err(Withholding::Malformed);
            }
        };
        match frame {
            Frame::Single(Message::Response(response)) => match response.id {
                Some(id) => return self.deliver_answer(&id, line),
                None => self.deliver_to_any(line.clone()),
            },
            Frame::Single(Message::Notification(notification)) => {
                let token = notification.params.progress_token.as_ref();
                match self.concerned(&notification.params) {
                    Some(id) => return self.deliver_notice(&id, line),
                    None if token.is_some_and(|token| self.silenced.contains(token)) => {
                        return Err(Withholding::Unheard);
                    }
                    None => self.deliver_to_any(line.clone()),
                }
            }
            Frame::Single(Message::Request(_)) => self.deliver_to_any(line.clone()),
            // Its messages may belong to several exchanges; each is judged by itself there.
            Frame::Batch(_) => {
                let mut delivered = Ok(());
                for message in array::elements(line) {
                    delivered = delivered.and(self.deliver(&message));
                }
                return delivered;
            }
        }
        Ok(())
    }

    fn deliver_answer(&mut self, id: &RequestId, line: &Bytes) -> Result<(), Withholding> {
        let route = self.close(id).ok_or(Withholding::UnsolicitedAnswer)?;
        let line = match &route.id {
            Some(own) => {
                let line = splice::replace(line, splice::ID, own);
                splice::replace(&line, splice::RESULT_SUBSCRIPTION, own)
            }
            None => line.clone(),
        };
        if self.waiting.put(&route.lines, line).is_err() {
            tracing::warn!("an answer was not taken in time and is lost to its client");
        }
        Ok(())
    }

    /// The exchange a notification belongs to, by progress token or subscription.
    fn concerned(&self, params: &Params<'_>) -> Option<RequestId> {
        let by_token = params.progress_token.as_ref().and_then(|t| self.by_token.get(t));
        let subscription = params.meta.as_ref().and_then(|m| m.subscription_id.as_ref());
        let by_subscription =
            subscription.filter(|id| self.by_id.get(*id).is_some_and(|r| r.listens));
        by_token.or(by_subscription).cloned()
    }

    fn deliver_notice(&mut self, id: &RequestId, line: &Bytes) -> Result<(), Withholding> {
        let Some(route) = self.by_id.get(id) else { return Ok(()) };
        let mut line = line.clone();
        if let Some((_, Some(own))) = &route.token {
            line = splice::replace(&line, splice::PROGRESS_TOKEN, own);
        }
        if let Some(own) = &route.id {
            line = splice::replace(&line, splice::SUBSCRIPTION, own);
        }
        let put = self.waiting.put(&route.lines, line);
        self.note(id, put);
        if put == Err(NotPut::Behind) { Err(Withholding::Unheard) } else { Ok(()) }
    }

    /// What names no exchange goes to the listening client, else to the newest exchange, else it
    /// waits.
    fn deliver_to_any(&mut self, line: Bytes) {
        if let Some(listener) = &self.listener {
            match self.waiting.put(listener, line.clone()) {
                Ok(()) => return,
                Err(_) => self.listener = None,
            }
        }
        let newest = self.by_id.iter().filter(|(_, r)| !r.listens).max_by_key(|(_, r)| r.serial);
        if let Some((id, route)) = newest {
            let (id, put) = (id.clone(), self.waiting.put(&route.lines, line.clone()));
            self.note(&id, put);
            if put.is_ok() {
                return;
            }
        }
        self.backlog.push(line);
    }

    /// Nothing more comes; the exchanges see the end of their lines.
    fn end(&mut self) {
        self.ended = true;
        self.by_id.clear();
        self.by_token.clear();
        self.listener = None;
    }

    /// An exchange that is gone has no route any more. One that is behind has, until it ends: the server
    /// is told of that, and its answer may still come.
    fn note(&mut self, id: &RequestId, put: Result<(), NotPut>) {
        if put == Err(NotPut::Gone) {
            self.close(id);
        }
    }
}

async fn read_output(
    conversation: Arc<Conversation>,
    mut output: BufReader<ChildStdout>,
    line_bytes_max: usize,
) {
    loop {
        match read_line(&mut output, line_bytes_max).await {
            Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
            Ok(Some(Line::Whole(line))) => {
                conversation.deliver(&line);
                conversation.rest().await;
            }
            Ok(Some(Line::TooLong)) => {
                conversation.strays.withhold(Withholding::TooLarge, line_bytes_max);
            }
            Ok(None) | Err(_) => break,
        }
    }
    conversation.routes().end();
    conversation.strays.settle();
    // Whoever says nothing any more is of no use: it ends, and its place is free.
    conversation.end().await;
}

/// As [`read_output`], for a stream of events; it ends with its session, which is not taken up again.
async fn read_stream(
    conversation: Arc<Conversation>,
    mut spoken: Spoken,
    ended: CancellationToken,
) {
    loop {
        let message = tokio::select! {
            biased;
            () = ended.cancelled() => break,
            message = spoken.message() => message,
        };
        match message {
            Some(message) => {
                conversation.deliver(&message);
                conversation.rest().await;
            }
            None => break,
        }
    }
    conversation.strays.settle();
    conversation.routes().end();
}

/// How often others may run before more is read for an exchange that has much to take.
const RESTS_MAX: usize = 64;

#[cfg(test)]
mod tests;
