//! The outermost level: encoding, envelope, kind of message. It refuses to look into parameters
//! and results itself.

use std::borrow::Cow;

use super::{Frame, Message, Notification, Outcome, Params, Request, Response};
use crate::id::RequestId;
use crate::json::{Kind, Read, Reader, checked_text};
use crate::limits::Limits;
use crate::malformed::{Fault, Malformed};
use crate::message::params::Notes;
use crate::method::Method;
use crate::reply::ResultView;

/// Reads a body.
///
/// Members of the envelope that JSON-RPC does not know are carried along unread: the bytes are
/// forwarded as they came.
///
/// # Errors
/// [`Malformed`] for everything that is not one well-formed message or batch within `limits`; a
/// fault in one message of a batch refuses the batch. Fields with a wrong type in parameters are
/// refused for known methods only: an unknown method may give them another meaning, and they are
/// then not read.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Frame<'a>, Malformed> {
    let mut reader = Reader::new(checked_text(bytes)?, limits);
    let frame = match reader.kind()? {
        Kind::Object => {
            let mut envelope = Envelope::default();
            let message = read_message(&mut reader, limits, &mut envelope)
                .and_then(|message| reader.end().map(|()| message));
            // The id outlives the fault, so that the refusal can be matched to its request.
            return message
                .map(Frame::Single)
                .map_err(|malformed| malformed.with_id(envelope.id.as_ref()));
        }
        Kind::Array => Frame::Batch(read_batch(&mut reader, limits)?),
        _ => return Err(reader.fault(Fault::NotAnObject)),
    };
    reader.end()?;
    Ok(frame)
}

/// What the envelope holds, before its kind is known.
#[derive(Default)]
struct Envelope<'a> {
    versioned: bool,
    /// Where `id` was null.
    null_id: Option<usize>,
    id: Option<RequestId>,
    method: Option<Cow<'a, str>>,
    params: Option<Box<Params<'a>>>,
    /// What is wrong with the parameters if the method is one we know.
    irregular: Option<Malformed>,
    result: Option<Box<ResultView<'a>>>,
    error_code: Option<i64>,
}

fn read_batch<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Read<Vec<Message<'a>>> {
    let at = reader.place();
    let mut messages = Vec::new();
    reader.array(|reader| {
        match reader.kind()? {
            Kind::Object => {}
            Kind::Array => return Err(reader.fault(Fault::NestedBatch)),
            _ => return Err(reader.fault(Fault::NotAnObject)),
        }
        if messages.len() == limits.batch_max {
            return Err(reader.fault(Fault::BatchTooLong { max: limits.batch_max }));
        }
        messages.push(read_message(reader, limits, &mut Envelope::default())?);
        Ok(())
    })?;
    if messages.is_empty() {
        return Err(Malformed::new(Fault::EmptyBatch, at));
    }
    Ok(messages)
}

fn read_message<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    envelope: &mut Envelope<'a>,
) -> Read<Message<'a>> {
    let at = reader.place();
    reader.object(|reader, key, key_at| match key {
        "jsonrpc" => {
            if reader.kind()? != Kind::String || reader.string()? != "2.0" {
                return Err(Malformed::new(Fault::WrongVersion, key_at));
            }
            envelope.versioned = true;
            Ok(())
        }
        "id" => read_id(reader, limits, envelope),
        "method" => {
            let mut notes = Notes::default();
            envelope.method = notes.text(reader, "method", limits.name_bytes_max)?;
            notes.into_result()
        }
        "params" => {
            let (params, notes) = Params::read(reader, limits)?;
            envelope.params = Some(Box::new(params));
            envelope.irregular = notes.into_result().err();
            Ok(())
        }
        "result" => {
            envelope.result = Some(Box::new(ResultView::read(reader, limits)?));
            Ok(())
        }
        "error" => {
            envelope.error_code = Some(read_error_code(reader)?);
            Ok(())
        }
        unknown => {
            let mut notes = Notes::default();
            notes.unknown_key(unknown, ENVELOPE_KEYS, key_at);
            notes.into_result()?;
            reader.skip()
        }
    })?;
    envelope.classify(at)
}

fn read_id(reader: &mut Reader<'_>, limits: &Limits, envelope: &mut Envelope<'_>) -> Read<()> {
    if reader.kind()? == Kind::Null {
        envelope.null_id = Some(reader.place());
        return reader.skip();
    }
    let mut notes = Notes::default();
    envelope.id = notes.id(reader, "id", limits.id_bytes_max)?;
    notes.into_result()
}

fn read_error_code(reader: &mut Reader<'_>) -> Read<i64> {
    let at = reader.place();
    if reader.kind()? != Kind::Object {
        return Err(Malformed::new(wrong_type("error", "an object"), at));
    }
    let mut code = None;
    let mut has_message = false;
    reader.object(|reader, key, _| {
        let kind = reader.kind()?;
        match (key, kind) {
            ("code", Kind::Number) => {
                code = reader.number()?.parse().ok();
                Ok(())
            }
            ("message", Kind::String) => {
                has_message = true;
                reader.skip()
            }
            _ => reader.skip(),
        }
    })?;
    match code {
        Some(code) if has_message => Ok(code),
        Some(_) => Err(Malformed::new(wrong_type("error.message", "a string"), at)),
        None => Err(Malformed::new(wrong_type("error.code", "an integer"), at)),
    }
}

impl<'a> Envelope<'a> {
    /// Says what kind of message this is, or why it is none; `at` is where it starts. The id is
    /// taken last: should this fail, the refusal still wants it.
    fn classify(&mut self, at: usize) -> Read<Message<'a>> {
        let fault = |fault| Malformed::new(fault, at);
        if !self.versioned {
            return Err(fault(Fault::WrongVersion));
        }
        match (self.method.take(), self.result.take(), self.error_code) {
            (Some(method), None, None) => self.classify_call(Method::from_name(method), at),
            (Some(_), _, _) => Err(fault(Fault::MethodAndResult)),
            (None, Some(_), Some(_)) => Err(fault(Fault::ResultAndError)),
            (None, None, None) => Err(fault(Fault::NoKind)),
            (None, None, Some(code)) => {
                let outcome = Outcome::Error { code };
                Ok(Message::Response(Response { id: self.id.take(), outcome }))
            }
            (None, Some(result), None) => {
                let id = self.id.take().ok_or_else(|| self.no_id(at))?;
                let outcome = Outcome::Result(result);
                Ok(Message::Response(Response { id: Some(id), outcome }))
            }
        }
    }

    fn classify_call(&mut self, method: Method<'a>, at: usize) -> Read<Message<'a>> {
        if let (true, Some(malformed)) = (method.is_known(), self.irregular.take()) {
            return Err(malformed);
        }
        let params = self.params.take().unwrap_or_default();
        method.target(&params)?;
        let is_known_notification = method.is_known() && method.is_notification();
        if self.id.is_some() && is_known_notification {
            return Err(Malformed::new(Fault::UnexpectedId, at));
        }
        match self.id.take() {
            Some(id) => Ok(Message::Request(Request { id, method, params })),
            // A request without an id would be carried out by some servers and answered by none.
            None if self.null_id.is_some() || (method.is_known() && !is_known_notification) => {
                Err(self.no_id(at))
            }
            None => Ok(Message::Notification(Notification { method, params })),
        }
    }

    fn no_id(&self, at: usize) -> Malformed {
        match self.null_id {
            Some(null_at) => Malformed::new(Fault::NullId, null_at),
            None => Malformed::new(Fault::Missing { field: "id" }, at),
        }
    }
}

fn wrong_type(field: &'static str, expected: &'static str) -> Fault {
    Fault::WrongType { field, expected }
}

const ENVELOPE_KEYS: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
