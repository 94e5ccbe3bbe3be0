//! The pages that a host serves: metrics for Prometheus, and the health checks of Kubernetes and load balancers. Requests that no page
//! answers are in `mod`; what the metrics are is in `ixt_host::metrics`.

use std::fmt::Write as _;

use hyper::StatusCode;
use ixt_host::text::harmless;
use ixt_host::{Host, InstanceState, ModuleStatus};

/// The content of an answer: status, content type and text. For `HEAD` hyper leaves the text out.
pub(super) struct HttpPage {
    pub(super) status: StatusCode,
    /// The value of the header `Content-Type`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl HttpPage {
    /// A page of plain text.
    pub(super) fn text(status: StatusCode, text: String) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", text }
    }
}

/// Makes the page for a `GET` or `HEAD` with this query: the text after `?`, not decoded; empty if there is none. `is_open` is false once
/// the host shuts down. Must not block.
pub(super) type Route = fn(host: &Host, query: &str, is_open: bool) -> HttpPage;

/// The pages by their paths, sorted. A request needs exactly such a path, without a `/` at its end.
pub(super) const ROUTES: [(&str, Route); 3] = [("/healthz", healthz), ("/metrics", metrics), ("/readyz", readyz)];

/// The paths, separated by a comma and a space, in the order of [`ROUTES`].
pub(super) fn paths() -> String {
    ROUTES.map(|(path, _)| path).join(", ")
}

/// Always 200 and `ok`, also while the host shuts down: a host that answers is alive.
fn healthz(_: &Host, _: &str, _: bool) -> HttpPage {
    HttpPage::text(StatusCode::OK, "ok\n".to_owned())
}

/// The counts of the host and its modules, for Prometheus. Always 200.
fn metrics(host: &Host, _: &str, _: bool) -> HttpPage {
    HttpPage { status: StatusCode::OK, kind: ixt_host::metrics::CONTENT_TYPE, text: ixt_host::metrics::render(host) }
}

/// [`ready`] for this host. The query `verbose`, with or without a value, asks for all lines.
fn readyz(host: &Host, query: &str, is_open: bool) -> HttpPage {
    let is_verbose = query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="));
    ready(&host.status(), is_verbose, is_open)
}

/// 200 if at least one process of each module takes calls and the host does not shut down, otherwise 503. The text is like that of
/// Kubernetes' own `/readyz`: `ok`, or a line for the host, for each module in its order, and for the result, if it is 503, or if
/// `is_verbose`. A host without modules is ready.
fn ready(modules: &[ModuleStatus], is_verbose: bool, is_open: bool) -> HttpPage {
    let mut lines = String::new();
    let mut check = |name: &str, failure: Option<String>| {
        let _ = match &failure {
            None => writeln!(lines, "[+]{name} ok"),
            Some(reason) => writeln!(lines, "[-]{name} failed: {reason}"),
        };
        failure.is_none()
    };
    let mut is_ready = check("host", (!is_open).then(|| "it is shutting down".to_owned()));
    for module in modules {
        is_ready &= check(&harmless(&module.name), (!module.is_ready()).then(|| why_not(module)));
    }
    match (is_ready, is_verbose) {
        (true, false) => HttpPage::text(StatusCode::OK, "ok\n".to_owned()),
        (true, true) => HttpPage::text(StatusCode::OK, format!("{lines}readyz check passed\n")),
        (false, _) => HttpPage::text(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}readyz check failed\n")),
    }
}

/// The state of each process of a module that is not ready, and for one that waits for its restart or has failed, why the last one has
/// ended. One line without a line end; empty if the module has no process.
fn why_not(module: &ModuleStatus) -> String {
    let instances = module.instances.iter().map(|instance| {
        // Why a process has ended says nothing of the one that is started now.
        let reason = instance
            .reason
            .as_ref()
            .filter(|_| matches!(instance.state, InstanceState::Backoff | InstanceState::Failed));
        let reason = reason.map_or_else(String::new, |reason| format!(" ({})", harmless(reason)));
        format!("{}: {}{reason}", harmless(&instance.id), instance.state)
    });
    instances.collect::<Vec<_>>().join(", ")
}
