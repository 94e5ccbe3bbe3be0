//! `ixt run --metrics`: what the host counts, over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ixt_host::listener::{Door, PATIENCE};
use ixt_host::{Host, metrics};
use tokio::net::TcpListener;

use crate::http_names::Names;
use crate::output::say;

/// A server that has its place, and serves nobody yet.
pub(crate) struct Server {
    listener: TcpListener,
    names: Arc<Names>,
}

/// `allowed` are names by which the server may be asked.
pub(crate) async fn bind(address: SocketAddr, allowed: &[String]) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't serve metrics at {address}"))?;
    let address = listener.local_addr()?;
    say(&format!("* metrics are at http://{address}/metrics\n"));
    Ok(Server { listener, names: Arc::new(Names::new(address.ip(), allowed)) })
}

impl Server {
    pub(crate) async fn serve(self, host: Host) {
        let Self { listener, names } = self;
        let door = Arc::new(Door::default());
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of files, most likely: others will be closed.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // There is always one that makes room: what the host does for them takes no time.
            let Some(guest) = door.enter() else { continue };
            let (host, names) = (host.clone(), Arc::clone(&names));
            tokio::spawn(async move {
                let respond = |request: Request<Incoming>| respond(&request, &host, &names);
                let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(respond(request))));
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
                // A client that breaks off harms nobody but itself.
                tokio::select! {
                    _ = http.serve_connection(TokioIo::new(stream), answer) => {}
                    () = guest.has_to_go() => {}
                }
            });
        }
    }
}

fn respond(request: &Request<Incoming>, host: &Host, names: &Names) -> Response<Full<Bytes>> {
    let values = |header| request.headers().get_all(header).iter().map(HeaderValue::as_bytes);
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        _ if !names.allow(values(HOST), values(ORIGIN)) => (StatusCode::FORBIDDEN, "text/plain", names.refusal()),
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(host)),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}
