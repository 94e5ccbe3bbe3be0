//! What a module can call on its host: the message bus and events (`bus`), the store (`kv`, `kv_watch`), and the log (`log`). The host
//! says who the module is and what it may do; a module's own word does not count.

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

/// What the modules of a host share.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) logs: Logs,
    pub(crate) spans: Spans,
    pub(crate) call_log: CallLog,
    /// The memory that everything which waits in the host may take.
    pub(crate) memory: Arc<Budget>,
    pub(crate) connections: SharedLimits,
    pub(crate) resources: Arc<HostResources>,
}

/// The services for one process of a module.
pub(crate) struct HostServices {
    backends: Backends,
    /// What the process was started from: its manifest says what it may do.
    release: Arc<Release>,
    /// `name:version/instance-NNN`.
    instance: Arc<str>,
    output: Arc<ProcessOutput>,
    watches: Watches,
}

/// `Err` is a refused call: its code and message.
type Refusal<T = ()> = Result<T, (&'static str, String)>;

impl HostServices {
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
            let message = "too many requests of this module wait, or one with this id does";
            connection.respond(id, Err(ErrorBody::new(code::RESOURCE_EXHAUSTED, message, true)), batch);
            return;
        }
        let ServiceRequest { service, method, params, context } = request;
        let done = match (&*service, &*method) {
            ("message_bus", "send") => self.send(connection, id, &params, &context, batch),
            ("event_bus", "publish") => self.publish(connection, id, &params, &context, batch),
            ("kv_store", method) => self.kv(connection, id, method, params, batch),
            ("logging", "log") => self.logging(connection, id, &params, &context.trace_id, batch),
            _ => Err((code::UNIMPLEMENTED, format!("this host has no `{service}.{method}`"))),
        };
        if let Err((code, message)) = done {
            connection.end_call(id, Err(ErrorBody::new(code, &message, false)), batch);
        }
    }

    fn log(&self, log: &LogFrame<'_>) {
        self.write_log(log);
    }

    fn complain(&self, complaint: &str) {
        self.backends.logs.host(LogLevel::Warn, &self.instance, complaint);
    }
}

fn read_params<'a, T: Deserialize<'a>>(params: &'a Object<'_>) -> Refusal<T> {
    params.read_borrowed().map_err(wrong_params)
}

fn wrong_params(invalid: InvalidJson) -> (&'static str, String) {
    (code::INVALID_INPUT, invalid.under("params").to_string())
}
