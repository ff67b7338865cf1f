//! The floor: a reverse proxy of the same HTTP library as the gateway that reads nothing and keeps
//! nothing, so that the difference is what the gateway itself does.

use http::{Request, Uri};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error;
use tokio::net::{TcpListener, TcpStream};

/// A pool of connections to one place.
pub(crate) type Pool<B> = Client<HttpConnector, B>;

/// Passes everything on to an address until the process is ended.
pub(crate) fn run(to: &str) -> anyhow::Result<()> {
    let uri: Uri = format!("http://{to}/mcp").parse()?;
    let client: Pool<Incoming> = pool();
    serve(move |stream| {
        let (client, uri) = (client.clone(), uri.clone());
        async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                *request.uri_mut() = uri.clone();
                client.request(request)
            });
            // A connection that breaks is one that nobody needs any more.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        }
    })
}

pub(crate) fn pool<B>() -> Pool<B>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Accepts connections on a port of its own, which it writes on its standard output.
pub(crate) fn serve<S>(connection: impl Fn(TcpStream) -> S) -> anyhow::Result<()>
where
    S: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream));
        }
    })
}
