//! Whoever answers messages in process: one server, or all of them together. What adapters of other
//! transports need of either; it checks nothing itself.

use crate::array;
use crate::asked::{Asked, Ending, Origin};
use crate::backend::{Backend, stopping};
use crate::body::ReplyBody;
use crate::call::Call;
use crate::client::ClientEnd;
use crate::config::Limits;
use crate::event_stream::Streams;
use crate::federation::Federation;
use crate::inbound::Inbound;
use crate::pipeline::Received;
use crate::refusal::Refusal;
use audit::Recorder;
use event::Status;
use http::{Method, Response};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where messages go.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// To one server.
    One(Arc<Backend>),
    /// To all servers together.
    All(Arc<Federation>),
}

impl Endpoint {
    /// Starts the exchange in a task of its own and waits for the head of its answer.
    pub(crate) async fn ask(&self, inbound: Inbound) -> Response<ReplyBody> {
        match self {
            Self::One(backend) => backend.ask(inbound).await,
            Self::All(federation) if is_batch(&inbound) => {
                let (head, answer) = oneshot::channel();
                let (federation, client) = (Arc::clone(federation), ClientEnd::new(head));
                let exchanges = federation.exchanges().clone();
                exchanges.spawn(async move { federation.serve(inbound, client).await });
                answer.await.unwrap_or_else(|_| stopping())
            }
            Self::All(_) => self.ask_single(inbound).await,
        }
    }

    /// As [`Self::ask`], for what is known to be one message.
    pub(crate) async fn ask_single(&self, inbound: Inbound) -> Response<ReplyBody> {
        match self {
            Self::One(backend) => backend.ask_single(inbound).await,
            Self::All(federation) => {
                let (head, answer) = oneshot::channel();
                let (federation, client) = (Arc::clone(federation), ClientEnd::new(head));
                let exchanges = federation.exchanges().clone();
                exchanges.spawn(async move { federation.serve_single(inbound, client).await });
                answer.await.unwrap_or_else(|_| stopping())
            }
        }
    }

    /// Everything that must be true before a stream of events is opened to one server, as for a stream in a
    /// session. What is opened to all of them touches none until the client asks for something; that
    /// is a call of its own then.
    pub(crate) async fn admit_stream(
        &self,
        received: &Received,
    ) -> Result<Option<Arc<Asked>>, Refusal> {
        match self {
            Self::One(backend) => {
                let call = Call::http("http/get", &backend.pipeline.server);
                let (asked, _no_session) = backend.pipeline.admit_http(received, &call).await?;
                Ok(Some(asked))
            }
            Self::All(_) => Ok(None),
        }
    }

    /// Puts the end of such a stream on record.
    pub(crate) async fn end_stream(&self, asked: &Asked) {
        if let (Self::One(backend), true) = (self, asked.end()) {
            backend.pipeline.ended(asked, &Ending::new(Status::Ok)).await;
        }
    }

    /// Puts a refusal on record.
    pub(crate) async fn refuse(&self, refusal: &Refusal, origin: &Origin) {
        match self {
            Self::One(backend) => backend.pipeline.refuse(refusal, origin).await,
            Self::All(federation) => federation.refuse(refusal, origin).await,
        }
    }

    /// Tells of a refusal.
    pub(crate) fn tell_refusal(&self, refusal: &Refusal) {
        match self {
            Self::One(backend) => backend.pipeline.tell_refusal(refusal),
            Self::All(federation) => federation.tell_refusal(refusal),
        }
    }

    /// The name of the server; none when it is all of them.
    pub(crate) fn server(&self) -> Option<&str> {
        match self {
            Self::One(backend) => Some(backend.name()),
            Self::All(_) => None,
        }
    }

    /// Ends one session.
    pub(crate) async fn close_session(&self, id: &[u8]) {
        match self {
            Self::One(backend) => backend.close_session(id).await,
            Self::All(federation) => federation.close_session(id),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        match self {
            Self::One(backend) => &backend.pipeline.limits,
            Self::All(federation) => federation.limits(),
        }
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        match self {
            Self::One(backend) => &backend.pipeline.recorder,
            Self::All(federation) => federation.recorder(),
        }
    }

    /// Every exchange in progress.
    pub(crate) fn exchanges(&self) -> &TaskTracker {
        match self {
            Self::One(backend) => &backend.exchanges,
            Self::All(federation) => federation.exchanges(),
        }
    }

    /// When streams that would stay open for ever must end.
    pub(crate) fn soft(&self) -> &CancellationToken {
        match self {
            Self::One(backend) => &backend.stops.soft,
            Self::All(federation) => &federation.stops().soft,
        }
    }

    /// Clients of HTTP+SSE.
    pub(crate) fn streams(&self) -> &Streams {
        match self {
            Self::One(backend) => &backend.streams,
            Self::All(federation) => federation.streams(),
        }
    }
}

/// Whether a body holds several messages.
pub(crate) fn is_batch(inbound: &Inbound) -> bool {
    inbound.method == Method::POST && array::is_array(&inbound.body)
}
