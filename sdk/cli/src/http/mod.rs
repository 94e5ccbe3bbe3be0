//! `ixt run --http`: the one HTTP server of a host. [`routes`] is what it serves. Here is what holds for all of that: by which names
//! it may be asked, how much a client may send and how long it may take, and how it ends.

mod names;
mod routes;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ixt_host::Host;
use ixt_host::connection_limit::{CLIENT_TIMEOUT, ConnectionLimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;

use names::Names;
use routes::{Page, ROUTES, paths};

/// How large the headers of a request may be together, and how many there may be of them.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long what was begun may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A server that has its place, and serves nobody yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    names: Vec<String>,
}

/// A server that serves. Dropped, it ends at once.
pub(crate) struct Serving {
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The host shuts down.
    Draining,
    /// Nothing new is taken.
    Closing,
}

impl Server {
    /// `names` are those by which it may be asked, beside those of its address.
    pub(crate) fn bind(address: SocketAddr, names: &[String]) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(address).and_then(|listener| Self::new(listener, names));
        listener.with_context(|| format!("can't serve HTTP at {address}"))
    }

    /// The same at a place that somebody else has got.
    pub(crate) fn new(listener: std::net::TcpListener, names: &[String]) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, names: names.to_owned() })
    }

    /// What is served where, in words.
    pub(crate) fn told(&self) -> String {
        format!("http://{} serves {}", self.address, paths())
    }

    pub(crate) fn start(self, host: Host) -> Serving {
        let (phase, phases) = watch::channel(Phase::Open);
        let site = Arc::new(Site { host, names: Names::new(self.address.ip(), &self.names), phase: phases });
        Serving { phase, task: tokio::spawn(serve(self.listener, site)) }
    }
}

impl Serving {
    /// The host shuts down: it is not ready any more, and whoever asks is to connect anew the next time.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Takes nothing new, answers what was begun, and ends; after a second at the latest.
    pub(crate) async fn end(mut self) {
        self.phase.send_replace(Phase::Closing);
        let _ = tokio::time::timeout(LAST_ANSWERS, &mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all connections share.
struct Site {
    host: Host,
    names: Names,
    phase: watch::Receiver<Phase>,
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    let limit = Arc::new(ConnectionLimit::default());
    let mut connections = JoinSet::new();
    let mut phase = site.phase.clone();
    let mut closing = pin!(phase.wait_for(|phase| *phase == Phase::Closing));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut closing => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of files, most likely: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // There is always one that makes room: what the host does for them takes no time.
        let Some(permit) = limit.admit() else { continue };
        let site = Arc::clone(&site);
        connections.spawn(async move {
            // A client that breaks off harms nobody but itself.
            tokio::select! {
                () = serve_one(stream, &site) => {}
                () = permit.must_close() => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves whoever is at the other end, until one of both has enough.
async fn serve_one(stream: impl AsyncRead + AsyncWrite, site: &Site) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(CLIENT_TIMEOUT));
    let respond = service_fn(|request| std::future::ready(Ok::<_, Infallible>(site.respond(&request))));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CLIENT_TIMEOUT);
    http.max_header_size(MAX_HEADER_BYTES).max_headers(MAX_HEADERS);
    let stream = pin!(stream);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), respond));
    let mut phase = site.phase.clone();
    tokio::select! {
        _ = &mut serving => return,
        _ = phase.wait_for(|phase| *phase == Phase::Closing) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

impl Site {
    fn respond(&self, request: &Request<impl Body>) -> Response<Full<Bytes>> {
        let is_open = *self.phase.borrow() == Phase::Open;
        let Page { status, kind, text } = self.page(request, is_open);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let mut set = |header, value| response.headers_mut().insert(header, HeaderValue::from_static(value));
        set(CONTENT_TYPE, kind);
        // How it is now is not how it will be.
        set(CACHE_CONTROL, "no-store");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            set(ALLOW, "GET, HEAD");
        }
        // What nobody reads is in the way of the next request.
        if !is_open || status == StatusCode::PAYLOAD_TOO_LARGE {
            set(CONNECTION, "close");
        }
        response
    }

    fn page(&self, request: &Request<impl Body>, is_open: bool) -> Page {
        let values = |header| request.headers().get_all(header).iter().map(HeaderValue::as_bytes);
        if !self.names.allow(values(HOST), values(ORIGIN)) {
            return Page::text(StatusCode::FORBIDDEN, self.names.refusal());
        }
        let Some((_, route)) = ROUTES.iter().find(|(path, _)| *path == request.uri().path()) else {
            return Page::text(StatusCode::NOT_FOUND, format!("there are {}\n", paths()));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Page::text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
        }
        if !request.body().is_end_stream() {
            return Page::text(StatusCode::PAYLOAD_TOO_LARGE, "a request here has no body\n".to_owned());
        }
        route(&self.host, request.uri().query().unwrap_or_default(), is_open)
    }
}
