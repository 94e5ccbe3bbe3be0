//! `ixt run --http`: the HTTP server of a host. [`routes`] has the pages, [`names`] the host names to which it answers. This file has the
//! connections: the limits on what a client sends and on the time that it takes, and the end of the server.
//!
//! The number of connections is limited by [`ConnectionLimit`]: when one more connects, the oldest is closed. The headers of a request have
//! [`CLIENT_TIMEOUT`] to arrive after the connection was made or the last answer was sent, so that an idle connection is closed too; and so
//! is one that takes nothing of an answer for as long.

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
use routes::{HttpPage, ROUTES, paths};

/// The most bytes that the headers of a request may have together, with its first line: 16 KiB. Beyond it the request is answered 431, and
/// the connection closed.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most headers that a request may have. Beyond it the request is answered 431, and the connection closed.
const MAX_HEADERS: usize = 64;
/// How long the server waits at its end for requests that have begun. Then their connections are closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that is bound to its address. Clients can connect, and are served once it is started; until then they wait. Dropped, it closes
/// the socket.
pub(crate) struct Server {
    listener: TcpListener,
    /// The address at which it listens, with the port that the system has picked if 0 was asked for.
    address: SocketAddr,
    /// The host names of `--http-host` or the host's file, as they were given. May be empty.
    names: Vec<String>,
}

/// A server that is running. When the host shuts down, call [`drain`](Self::drain), and when it has ended, [`end`](Self::end). `end` alone
/// is enough. Dropped, it closes the socket and all connections soon, without waiting for answers.
pub(crate) struct RunningServer {
    phase: watch::Sender<ServerPhase>,
    task: JoinHandle<()>,
}

/// The phases of a running server, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerPhase {
    /// The host runs.
    Open,
    /// The host shuts down: connections are accepted still, `/readyz` is answered 503, and each answer closes its connection.
    Draining,
    /// No connection is accepted. Those without a request are closed, the others after their answer, or when a second is over.
    Closing,
}

impl Server {
    /// Binds a server to this address; port 0 lets the system pick one. `names` are host names to which it answers, beside `localhost` and
    /// its addresses; without names, a server at an address that is not loopback answers to all. Call it within a runtime. Fails if the
    /// address can't be bound, for example because it is in use.
    pub(crate) fn bind(address: SocketAddr, names: &[String]) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(address).and_then(|listener| Self::new(listener, names));
        listener.with_context(|| format!("can't serve HTTP at {address}"))
    }

    /// A server with a socket that is bound and listens already, such as one of a service manager. `names` are as for [`bind`](Self::bind).
    /// Makes the socket non-blocking. Call it within a runtime; fails if the system refuses that.
    pub(crate) fn new(listener: std::net::TcpListener, names: &[String]) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, names: names.to_owned() })
    }

    /// A sentence with the server's URL and its pages, sorted, without a line end.
    pub(crate) fn description(&self) -> String {
        format!("http://{} serves {}", self.address, paths())
    }

    /// Serves until [`RunningServer::end`] is called or the result is dropped; errors of connections don't end it. Returns at once. Call it
    /// within a runtime.
    pub(crate) fn start(self, host: Host) -> RunningServer {
        let (phase, phases) = watch::channel(ServerPhase::Open);
        let site = Arc::new(Site { host, names: Names::new(self.address.ip(), &self.names), phase: phases });
        RunningServer { phase, task: tokio::spawn(serve(self.listener, site)) }
    }
}

impl RunningServer {
    /// Call it when the host begins to shut down. From now on `/readyz` is answered 503, and each answer closes its connection. Does not
    /// wait; a second call has no effect.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(ServerPhase::Draining);
    }

    /// Accepts no more connections, answers the requests that have begun, and returns when all connections are closed, after one second at
    /// the latest. What is open then is closed without an answer.
    pub(crate) async fn end(mut self) {
        self.phase.send_replace(ServerPhase::Closing);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, &mut self.task).await;
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all connections of a server share.
struct Site {
    host: Host,
    names: Names,
    phase: watch::Receiver<ServerPhase>,
}

/// Accepts connections until the phase is `Closing`, and then waits until all of them have ended. If none can be accepted, tries again,
/// without a report.
async fn serve(listener: TcpListener, site: Arc<Site>) {
    let limit = Arc::new(ConnectionLimit::default());
    let mut connections = JoinSet::new();
    let mut phase = site.phase.clone();
    let mut closing = pin!(phase.wait_for(|phase| *phase == ServerPhase::Closing));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut closing => break,
        };
        let Ok((stream, _)) = accepted else {
            // The process has no file descriptor left, most likely, until another connection is closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Always a permit: connections here are never marked as worked on, so that the oldest can be closed for this one.
        let Some(permit) = limit.admit() else { continue };
        let site = Arc::clone(&site);
        connections.spawn(async move {
            tokio::select! {
                () = serve_one(stream, &site) => {}
                () = permit.must_close() => {}
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection, with any number of requests, until the client closes it or takes too long, or an answer closes it. When the phase
/// becomes `Closing`, a request that has begun is still answered.
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
        _ = phase.wait_for(|phase| *phase == ServerPhase::Closing) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

impl Site {
    /// The answer to a request: its page, with the headers. It is made at once and never waits for a module.
    fn respond(&self, request: &Request<impl Body>) -> Response<Full<Bytes>> {
        let is_open = *self.phase.borrow() == ServerPhase::Open;
        let HttpPage { status, kind, text } = self.page(request, is_open);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let mut set = |header, value| response.headers_mut().insert(header, HeaderValue::from_static(value));
        set(CONTENT_TYPE, kind);
        // Each answer is about this moment.
        set(CACHE_CONTROL, "no-store");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            set(ALLOW, "GET, HEAD");
        }
        // The body that is not read would be taken for the next request.
        if !is_open || status == StatusCode::PAYLOAD_TOO_LARGE {
            set(CONNECTION, "close");
        }
        response
    }

    /// The page that a request asks for, or what is wrong with it: 403 for another host name, 404, 405, or 413 for a body, the first that
    /// applies.
    fn page(&self, request: &Request<impl Body>, is_open: bool) -> HttpPage {
        let values = |header| request.headers().get_all(header).iter().map(HeaderValue::as_bytes);
        if !self.names.allow(values(HOST), values(ORIGIN)) {
            return HttpPage::text(StatusCode::FORBIDDEN, self.names.refusal());
        }
        let Some((_, route)) = ROUTES.iter().find(|(path, _)| *path == request.uri().path()) else {
            return HttpPage::text(StatusCode::NOT_FOUND, format!("there is no such page; there are {}\n", paths()));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return HttpPage::text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
        }
        if !request.body().is_end_stream() {
            return HttpPage::text(StatusCode::PAYLOAD_TOO_LARGE, "a request here has no body\n".to_owned());
        }
        route(&self.host, request.uri().query().unwrap_or_default(), is_open)
    }
}
