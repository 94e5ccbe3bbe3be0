//! The host's services: what a module can call by a `service_request` frame. `bus` has calls of other modules and
//! events, `kv` and `kv_watch` the key-value store, `log` the module's log. Which module calls, and what it may do, is
//! known from its connection and its manifest, never from what the frame says.
//!
//! A connection calls [`Services::request`] for each such frame, on its reader's task: what is here must not block. The
//! call is registered at the connection, so that the module can cancel it, and dispatched by its service and method as
//! an [`OwnCall`]. Its response is sent now or later.

mod bus;
mod kv;
mod kv_watch;
mod log;

use std::sync::Arc;

use ixt_protocol::{ErrorBody, InvalidJson, LogFrame, LogLevel, Object, ServiceRequest, code};
use serde::Deserialize;

use crate::budget::Budget;
use crate::bus::{Bus, WriteBatch};
use crate::call_log::CallLog;
use crate::connection::{Connection, Services, SharedLimits};
use crate::host_resources::HostResources;
use crate::kv::KvStore;
use crate::logs::{Logs, ProcessOutput};
use crate::release::Release;
use crate::trace::Spans;

pub(crate) use bus::new_trace_id;

use kv_watch::Watches;

/// What all modules of a host share. The host makes one when it starts; clones are cheap, and share the bus, the store
/// and so on.
#[derive(Clone)]
pub(crate) struct Backends {
    /// Where modules call each other and publish events.
    pub(crate) bus: Arc<dyn Bus>,
    /// The key-value store; each module has the namespace with its name.
    pub(crate) kv: Arc<dyn KvStore>,
    /// The host's log, with the modules' lines.
    pub(crate) logs: Logs,
    /// Makes OpenTelemetry spans; without an exporter it does nothing.
    pub(crate) spans: Spans,
    /// Writes the lines about calls and events that failed.
    pub(crate) call_log: CallLog,
    /// The host-wide budget, 160 MiB, for calls, events, unread data, and long lines at the control socket. Beyond it
    /// calls are refused with `RESOURCE_EXHAUSTED`, and events are dropped.
    pub(crate) memory: Arc<Budget>,
    /// The limits that the connections of all modules have together.
    pub(crate) connections: SharedLimits,
    /// What the host has of the system: the directory for sockets, the cgroup, the guard.
    pub(crate) resources: Arc<HostResources>,
}

/// The host's services as one process of a module sees them. Dropped when the reader of the process's connection ends.
pub(crate) struct HostServices {
    backends: Backends,
    /// What the process was started from: its manifest says what the process may do.
    release: Arc<Release>,
    /// The id of the process: `name:version/instance-NNN`.
    instance: Arc<str>,
    /// Keeps the errors of the module's log, for when the process fails.
    output: Arc<ProcessOutput>,
    /// The process's watches of keys.
    watches: Watches,
}

/// `Err`: the call is to be answered with this code and message, not retryable. `Ok(())`: the response was sent, or
/// will be.
type Refusal<T = ()> = Result<T, (&'static str, String)>;

/// A call that a module makes of the host, until its response is sent.
struct OwnCall<'a> {
    /// The connection of the calling process.
    connection: &'a Arc<Connection>,
    /// The id that the module has given the call. `None`: it has given none, and can't cancel the call; its response
    /// has no id either.
    id: Option<u64>,
    /// Collects the write of the response: the reader's batch while the frame is handled, [`WriteBatch::none`] later.
    batch: &'a mut WriteBatch,
}

impl OwnCall<'_> {
    /// Ends the call with this response. Returns false if the module has cancelled it: then nothing is sent. To be
    /// called once.
    fn end(&mut self, response: Result<Object<'_>, ErrorBody<'_>>) -> bool {
        self.connection.end_call(self.id, response, self.batch)
    }
}

impl HostServices {
    /// The services for the process `instance` (`name:version/instance-NNN`) of `release`. `output` keeps its last
    /// lines.
    pub(crate) fn new(
        backends: Backends,
        release: Arc<Release>,
        instance: Arc<str>,
        output: Arc<ProcessOutput>,
    ) -> Self {
        Self { backends, release, instance, output, watches: Watches::default() }
    }
}

impl Services for HostServices {
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    ) {
        if !connection.begin_call(id) {
            let message = "this process has too many calls without a response, or one with the same id";
            connection.respond(id, Err(ErrorBody::new(code::RESOURCE_EXHAUSTED, message, true)), batch);
            return;
        }
        let ServiceRequest { service, method, params, context } = request;
        let mut call = OwnCall { connection, id, batch };
        let done = match (&*service, &*method) {
            ("message_bus", "send") => self.send(&mut call, &params, &context),
            ("event_bus", "publish") => self.publish(&mut call, &params, &context),
            ("kv_store", method) => self.kv(&mut call, method, params),
            ("logging", "log") => self.logging(&mut call, &params, &context.trace_id),
            _ => Err((code::UNIMPLEMENTED, format!("this host has no `{service}.{method}`"))),
        };
        if let Err((code, message)) = done {
            call.end(Err(ErrorBody::new(code, &message, false)));
        }
    }

    fn log(&self, log: &LogFrame<'_>) {
        self.write_log(log);
    }

    fn complain(&self, complaint: &str) {
        self.backends.logs.host(LogLevel::Warn, &self.instance, complaint);
    }
}

/// Reads the parameters of a call. Parameters that are missing or wrong are refused with `INVALID_INPUT`; unknown ones
/// are ignored.
fn read_params<'a, T: Deserialize<'a>>(params: &'a Object<'_>) -> Refusal<T> {
    params.read_borrowed().map_err(wrong_params)
}

/// The refusal of parameters that are missing or wrong: `INVALID_INPUT`.
fn wrong_params(invalid: InvalidJson) -> (&'static str, String) {
    (code::INVALID_INPUT, invalid.under("params").to_string())
}
