//! What a module can ask of its host: the message bus, events, the store of keys and values, the log. One file for each; the
//! module's rights are checked here, and who it is says the host.

mod bus;
mod kv;

use std::borrow::Cow;
use std::sync::Arc;

use ixt_protocol::{ErrorBody, InvalidJson, Log, LogLevel, Object, ServiceRequest, code, read_json};
use serde::Deserialize;

use crate::budget::Budget;
use crate::bus::{Bus, WriteBatch};
use crate::call_log::CallLog;
use crate::connection::{Connection, Services, Shared};
use crate::kv::KvStore;
use crate::logs::{Logs, Origin, Record, level_named, shortened};
use crate::machine::Machine;
use crate::process::{MAX_LINE_BYTES, Output};
use crate::release::Release;
use crate::trace::Spans;

pub(crate) use bus::new_trace;

/// What the modules of a host share.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) logs: Logs,
    pub(crate) spans: Spans,
    pub(crate) call_log: CallLog,
    /// What waits in the host takes no more than this.
    pub(crate) memory: Arc<Budget>,
    pub(crate) connections: Shared,
    pub(crate) machine: Arc<Machine>,
}

/// The services for one process of a module.
pub(crate) struct HostServices {
    backends: Backends,
    /// What the process was started from: it may do what this says.
    release: Arc<Release>,
    instance: Arc<str>,
    output: Arc<Output>,
    watches: kv::Watches,
}

impl HostServices {
    pub(crate) fn new(backends: Backends, release: Arc<Release>, instance: Arc<str>, output: Arc<Output>) -> Self {
        Self { backends, release, instance, output, watches: kv::Watches::default() }
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

    fn log(&self, log: &Log<'_>) {
        // No line is worth more than all others: what is longer than one of stdout may be is cut.
        let fields = log.fields.filter(|fields| fields.get().len() <= MAX_LINE_BYTES).map(ToOwned::to_owned);
        let is_cut = log.fields.is_some() && fields.is_none();
        let cut = if is_cut { " (its fields are too long)" } else { "" };
        if log.level == LogLevel::Error {
            self.output.keep(&log.message);
        }
        self.backends.logs.write(Record {
            level: log.level,
            origin: Origin::Module,
            trace_id: log.trace_id.clone().into_owned(),
            fields,
            ..Record::new(&self.instance, format!("{}{cut}", shortened(&log.message, MAX_LINE_BYTES)))
        });
    }

    fn complain(&self, complaint: &str) {
        self.backends.logs.host(LogLevel::Warn, &self.instance, complaint);
    }
}

impl HostServices {
    /// `logging.log`, for those who want to hear that it was taken (seeds).
    fn logging(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        params: &Object<'_>,
        trace_id: &str,
        batch: &mut WriteBatch,
    ) -> Refusal {
        #[derive(Deserialize)]
        struct Params<'a> {
            level: Level,
            #[serde(borrow)]
            message: Cow<'a, str>,
            #[serde(borrow)]
            fields: Option<&'a serde_json::value::RawValue>,
        }
        let Params { level: Level(level), message, fields } = read_params(params)?;
        let trace_id = match connection.handled(None) {
            Some(call) if trace_id.is_empty() => call.trace_id.to_string(),
            _ => trace_id.to_owned(),
        };
        self.log(&Log { level, message, fields, trace_id: trace_id.into() });
        connection.end_call(id, Ok(crate::bus::empty_object()), batch);
        Ok(())
    }
}

/// A level as people write it.
struct Level(LogLevel);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let unknown = || {
            let expected = "expected `trace`, `debug`, `info`, `warn` or `error`";
            serde::de::Error::custom(format!("there is no level `{name}`: {expected}"))
        };
        level_named(&name).map(Self).ok_or_else(unknown)
    }
}

/// Why something is refused: a code and a message.
type Refusal<T = ()> = Result<T, (&'static str, String)>;

fn read_params<'a, T: Deserialize<'a>>(params: &'a Object<'_>) -> Refusal<T> {
    read_json(params.json().as_bytes()).map_err(wrong_params)
}

fn wrong_params(invalid: InvalidJson) -> (&'static str, String) {
    (code::INVALID_INPUT, invalid.under("params").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_as_people_and_other_loggers_write_it() {
        let level = |name: &str| serde_json::from_value::<Level>(name.into()).map(|level| level.0.as_str());
        for (name, is) in [
            ("trace", "trace"),
            ("DEBUG", "debug"),
            ("Info", "info"),
            ("notice", "info"),
            ("warn", "warn"),
            ("WARNING", "warn"),
            ("error", "error"),
            ("critical", "error"),
            ("fatal", "error"),
        ] {
            assert_eq!(level(name).unwrap(), is);
        }
        assert!(level("loud").unwrap_err().to_string().starts_with("there is no level `loud`: expected `trace`,"));
    }
}
