//! The audited floor: the bare proxy with two durable records for each call, one before the call is passed
//! on and one after its answer, in a plain file. It reads nothing, decides nothing, hashes and signs nothing:
//! what is left is what any gateway pays that keeps such records on this disk.

use crate::pass_through::{Pool, pool, serve};
use anyhow::ensure;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Bytes of the two records, those of a call of this benchmark in the gateway's log with a token.
const FIRST_BYTES: usize = 1_280;
const SECOND_BYTES: usize = 640;

/// Bytes of the file that is written round and round, filled with zeros first.
const FILE_BYTES: usize = 256 << 20;

/// When the second record must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// Before the answer is released.
    Awaited,
    /// With the next commit.
    NextCommit,
}

/// Passes everything on to an address until the process is ended.
pub(crate) fn run(to: &str, file: &str, second: Second) -> anyhow::Result<()> {
    let uri: Uri = format!("http://{to}/mcp").parse()?;
    let client: Pool<Incoming> = pool();
    let records = Arc::new(Records::default());
    let (file, queue) = (zeroed(Path::new(file), FILE_BYTES)?, Arc::clone(&records));
    std::thread::Builder::new().name("commit".to_owned()).spawn(move || queue.commit(&file))?;
    serve(move |stream| {
        let proxy = (client.clone(), uri.clone(), Arc::clone(&records));
        async move {
            let service = service_fn(move |request| pass(proxy.clone(), second, request));
            // A connection that breaks is one that nobody needs any more.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        }
    })
}

async fn pass(
    (client, uri, records): (Pool<Incoming>, Uri, Arc<Records>),
    second: Second,
    mut request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    records.push(vec![b'q'; FIRST_BYTES]).await?;
    *request.uri_mut() = uri;
    let (head, body) = client.request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let durable = records.push(vec![b'a'; SECOND_BYTES]);
    if second == Second::Awaited {
        durable.await?;
    }
    Ok(Response::from_parts(head, Full::new(body)))
}

/// A file of zeros, durably of its full length, so that a sync writes content and nothing else.
pub(crate) fn zeroed(path: &Path, bytes: usize) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, u64::try_from(at).unwrap_or_default())?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Records on their way to the file. While one batch is synced the next one gathers.
#[derive(Default)]
struct Records {
    waiting: Mutex<Vec<(Vec<u8>, oneshot::Sender<()>)>>,
    arrived: Condvar,
}

impl Records {
    fn push(&self, record: Vec<u8>) -> oneshot::Receiver<()> {
        let (durable, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((record, durable));
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
        receiver
    }

    /// Writes and syncs batch after batch, until that fails.
    fn commit(&self, file: &File) -> anyhow::Result<()> {
        let (mut batch, mut buffer, mut at) = (Vec::new(), Vec::new(), 0);
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = self.arrived.wait_while(waiting, |waiting| waiting.is_empty());
            std::mem::swap(&mut *waiting.unwrap_or_else(PoisonError::into_inner), &mut batch);
            buffer.clear();
            batch.iter().for_each(|(record, _)| buffer.extend_from_slice(record));
            ensure!(buffer.len() <= FILE_BYTES, "a batch is longer than the file");
            if FILE_BYTES - at < buffer.len() {
                at = 0;
            }
            file.write_all_at(&buffer, u64::try_from(at)?)?;
            file.sync_data()?;
            at += buffer.len();
            for (_, durable) in batch.drain(..) {
                // Whoever does not wait wanted it with the next commit.
                durable.send(()).ok();
            }
        }
    }
}
