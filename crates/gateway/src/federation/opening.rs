//! Opens sessions on the endpoint of all servers: every member is initialised with the client's own
//! words, and the answers are made one. Members that do not answer are asked again later.

use super::ask::Answer;
use super::discover::{error_code, instructions, parsed, put, union, with_unavailable};
use super::rewrite;
use super::session::{Link, Opening, Session};
use super::{Federation, Whole, newer};
use crate::body::ReplyBody;
use crate::carry::new_session_id;
use crate::headers;
use crate::refusal::{Cause, json_response};
use crate::session::Owner;
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method as HttpMethod, Response, StatusCode};
use mcp::{RequestId, Revision};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Federation {
    /// `initialize` of the older revisions.
    pub(super) async fn initialize(
        &self,
        whole: &Whole,
        id: &RequestId,
    ) -> Result<Response<ReplyBody>, Cause> {
        if OPENING_BYTES_MAX < whole.body.len() {
            return Err(Cause::TooLarge(OPENING_BYTES_MAX));
        }
        // Kept as long as the session: nobody needs the credentials then, who calls is known.
        let headers = without_credentials(&whole.headers);
        let opening = Opening { headers, body: whole.body.clone(), own: false };
        let places = 0..self.members.len();
        let parts = places.map(|place| (place, whole.opening(&opening)));
        let mut answers = self.ask_each(parts.collect(), Some(id)).await;
        self.agree(whole, &opening, id, &mut answers).await;
        let now = Instant::now();
        let calls_max = self.limits.session_calls_max;
        let session = Session::new(Owner::of(&whole.actor), opening, calls_max, now);
        let newer = self.newer_of(whole, &answers).await;
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for (place, answer) in &answers {
            let Some(member) = self.members.get(*place) else { continue };
            let found = newer.get(place).cloned();
            match answer.as_ref().and_then(opened).or(found) {
                Some((link, result)) => {
                    session.join(&member.prefix, link);
                    results.push((member.prefix.as_str(), result));
                }
                None => {
                    session.tried_in_vain(&member.prefix, now);
                    missing.push(member.prefix.as_str());
                }
            }
        }
        if results.is_empty() {
            return self.relay_first(whole, answers);
        }
        let asked = Revision::from_name(&asked_revision(&whole.body).unwrap_or_default());
        let result = with_unavailable(self.opening_result(&results, &asked), &missing);
        session.agree(Revision::from_name(
            result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default(),
        ));
        let failed = |_| Cause::Overloaded("no random numbers for a session id");
        let session_id = new_session_id().map_err(failed)?;
        self.sessions
            .open(session_id.as_bytes(), session, now)
            .map_err(|_| Cause::Overloaded("no more sessions can be kept"))?;
        let mut response = json_response(StatusCode::OK, result_message(id, &result));
        response.headers_mut().insert(headers::SESSION_ID, session_id);
        Ok(response)
    }

    /// The link of a member in this session; one without is asked for it again, now and then.
    pub(super) async fn link(&self, whole: &Whole, place: usize) -> Option<Link> {
        let (session, member) = (whole.session.as_ref()?, self.members.get(place)?);
        if let Some(link) = session.link(&member.prefix) {
            return Some(link);
        }
        let gate = session.gate(&member.prefix);
        let _turn = gate.lock().await;
        // Whoever held it before may have opened the link, or tried in vain.
        if let Some(link) = session.link(&member.prefix) {
            return Some(link);
        }
        if !session.may_try(&member.prefix, self.limits.member_retry, Instant::now()) {
            return None;
        }
        let opening = session.opening.clone();
        let id = request_id(&opening.body)?;
        let answers = self.ask_each(vec![(place, whole.opening(&opening))], Some(&id)).await;
        let newer = match session.opening.own {
            true => BTreeMap::new(),
            false => self.newer_of(whole, &answers).await,
        };
        if let Some((link, _)) = newer.get(&place) {
            session.join(&member.prefix, link.clone());
            return Some(link.clone());
        }
        let Some((link, _)) = answers.first()?.1.as_ref().and_then(opened) else {
            session.tried_in_vain(&member.prefix, Instant::now());
            // It may speak another era by now; the next request finds out.
            self.eras.forget(&member.prefix);
            return None;
        };
        if session.is_initialized() {
            let notice = Bytes::from(mcp::build::notification("notifications/initialized", None));
            let headers = whole.opening_headers(&link, &opening);
            self.ask_each(vec![(place, whole.part(HttpMethod::POST, headers, notice))], None).await;
        }
        session.join(&member.prefix, link.clone());
        self.subscribe_again(whole, place, &link);
        Some(link)
    }

    /// The members that have no `initialize`, since they are stateless: what they say of themselves
    /// instead, by place.
    async fn newer_of(
        &self,
        whole: &Whole,
        answers: &[(usize, Option<Answer>)],
    ) -> BTreeMap<usize, (Link, Value)> {
        let id = RequestId::text("era");
        let gateway = &self.recorder.place().gateway;
        let may_be = |answer: &&(usize, Option<Answer>)| {
            answer.1.as_ref().is_some_and(|answer| opened(answer).is_none() && is_of_server(answer))
        };
        let probes = answers.iter().filter(may_be).filter_map(|(place, _)| {
            Some((*place, whole.probe(&Revision::V2026_07_28, gateway, &id)?))
        });
        let found = self.ask_each(probes.collect(), Some(&id)).await;
        let newer = |answer: Option<Answer>| {
            let answer = answer.filter(is_kept)?;
            let result = super::discover::result_of(&answer.message)?;
            let about = newer::about(&result);
            let link = Link {
                id: None,
                revision: newer::revision(&result)?,
                about: Arc::new(about.clone()),
            };
            Some((link, about))
        };
        found.into_iter().filter_map(|(place, answer)| Some((place, newer(answer)?))).collect()
    }

    /// Members may choose different revisions; the client gets one. Those that chose a later one than
    /// others can speak are asked for the earlier one, which most of them can speak too.
    async fn agree(
        &self,
        whole: &Whole,
        opening: &Opening,
        id: &RequestId,
        answers: &mut [(usize, Option<Answer>)],
    ) {
        let chosen = |answer: &Option<Answer>| Some(answer.as_ref().and_then(opened)?.0);
        let revisions = answers.iter().filter_map(|(_, answer)| Some(chosen(answer)?.revision));
        let Some(earliest) = revisions.min() else { return };
        let path = [rewrite::PARAMS, mcp::edit::Step::Key("protocolVersion")];
        let named = mcp::edit::quoted(&earliest);
        let Some(body) = rewrite::change(&opening.body, &path, |_| Some(named.clone())) else {
            return;
        };
        let earlier = Opening { headers: opening.headers.clone(), body, own: false };
        let mut again = Vec::new();
        let mut ends = Vec::new();
        for (place, link) in answers.iter().filter_map(|(p, answer)| Some((*p, chosen(answer)?))) {
            if link.revision == earliest {
                continue;
            }
            again.push((place, whole.opening(&earlier)));
            if link.id.is_some() {
                let headers = whole.headers_on(&link, None);
                ends.push((place, whole.part(HttpMethod::DELETE, headers, Bytes::new())));
            }
        }
        if again.is_empty() {
            return;
        }
        self.ask_each(ends, None).await;
        for (place, answer) in self.ask_each(again, Some(id)).await {
            if let Some(held) = answers.iter_mut().find(|(held, _)| *held == place) {
                held.1 = answer;
            }
        }
    }

    fn opening_result(&self, results: &[(&str, Value)], asked: &Revision) -> Value {
        let revision = results.iter().filter_map(|(_, result)| result["protocolVersion"].as_str());
        // With stateless members alone it is the gateway that has sessions, of any revision.
        let own = if asked.has_initialize() { asked } else { &Revision::V2025_11_25 };
        let mut out = json!({
            "protocolVersion": revision.min().unwrap_or(own.name()),
            "capabilities": union(results.iter().map(|(_, result)| &result["capabilities"])),
            "serverInfo": self.server_info(),
        });
        put(&mut out, "instructions", instructions(results));
        out
    }

    /// What this endpoint says it is.
    pub(super) fn server_info(&self) -> Value {
        json!({"name": self.recorder.place().gateway, "version": env!("CARGO_PKG_VERSION")})
    }

    /// Nobody had what was wanted: the client gets the first answer that there is.
    pub(super) fn relay_first(
        &self,
        whole: &Whole,
        answers: Vec<(usize, Option<Answer>)>,
    ) -> Result<Response<ReplyBody>, Cause> {
        let place = answers.first().map_or(0, |(place, _)| *place);
        match answers.into_iter().find_map(|(_, answer)| answer) {
            Some(answer) => Ok(whole.relay(answer)),
            None => Err(self.down(place)),
        }
    }

    pub(super) fn down(&self, place: usize) -> Cause {
        let name = self.members.get(place).map(|member| member.backend.name().to_owned());
        Cause::MemberDown(name.unwrap_or_default())
    }
}

impl Whole {
    fn opening(&self, opening: &Opening) -> crate::inbound::Inbound {
        self.part(HttpMethod::POST, opening.headers.clone(), opening.body.clone())
    }

    fn opening_headers(&self, link: &Link, opening: &Opening) -> HeaderMap {
        let mut out = self.headers_on(link, None);
        for name in [http::header::CONTENT_TYPE, http::header::ACCEPT] {
            if let Some(value) = opening.headers.get(&name) {
                out.insert(name, value.clone());
            }
        }
        out
    }

    /// A member's answer, as the client's own session has it.
    pub(super) fn relay(&self, answer: Answer) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::whole(answer.message));
        *response.status_mut() = answer.status;
        *response.headers_mut() = self.reply_headers(answer.headers);
        if !response.headers().contains_key(http::header::CONTENT_TYPE) {
            return response;
        }
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }
}

/// The headers of a request without what proves who sends it: that is known.
pub(super) fn without_credentials(headers: &HeaderMap) -> HeaderMap {
    let mut out = headers.clone();
    for name in [headers::SESSION_ID, AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
        out.remove(name);
    }
    out
}

/// A message with a result that the gateway made.
pub(super) fn result_message(id: &RequestId, result: &Value) -> Bytes {
    let raw = serde_json::value::to_raw_value(result).unwrap_or_default();
    Bytes::from(mcp::build::result_response(id, &raw))
}

/// The link that an answer to `initialize` opens, and its result.
fn opened(answer: &Answer) -> Option<(Link, Value)> {
    if !answer.status.is_success() || !is_kept(answer) {
        return None;
    }
    let mut message = parsed(&answer.message)?;
    let result = message.get_mut("result").map(Value::take).filter(Value::is_object)?;
    let link = Link {
        id: answer.headers.get(headers::SESSION_ID).cloned(),
        revision: result.get("protocolVersion")?.as_str()?.to_owned(),
        about: Arc::new(result.clone()),
    };
    Some((link, result))
}

/// Whether a server refused, and not the gateway in its stead: those codes are positive.
fn is_of_server(answer: &Answer) -> bool {
    match error_code(&answer.message) {
        Some(code) => code < 0,
        None => answer.status.is_client_error(),
    }
}

/// Whether what a server says of itself is small enough to be kept as long as a session.
fn is_kept(answer: &Answer) -> bool {
    let is_kept = answer.message.len() <= ABOUT_BYTES_MAX;
    if !is_kept {
        tracing::warn!(bytes = answer.message.len(), "a server says too much of itself");
    }
    is_kept
}

fn asked_revision(body: &[u8]) -> Option<String> {
    let path = [rewrite::PARAMS, mcp::edit::Step::Key("protocolVersion")];
    let found = mcp::edit::find(body, &path).ok()?;
    serde_json::from_str(found.first()?.raw).ok()
}

fn request_id(body: &[u8]) -> Option<RequestId> {
    match mcp::parse(body, &mcp::Limits::for_replies()) {
        Ok(mcp::Frame::Single(message)) => message.id().cloned(),
        _ => None,
    }
}

/// Bytes of what a server says of itself in answer to it.
const ABOUT_BYTES_MAX: usize = 256 << 10;

/// Bytes of an `initialize`, which is kept as long as its session.
const OPENING_BYTES_MAX: usize = 64 << 10;
