//! A module's log: `log` frames, and the call `logging.log`, which has a response.

use std::borrow::Cow;
use std::sync::Arc;

use ixt_protocol::{LogFrame, LogLevel, Object};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HostServices, Refusal, read_params};
use crate::bus::{WriteBatch, empty_object};
use crate::connection::Connection;
use crate::logs::{MAX_LINE_BYTES, Origin, Record, level_named, shortened};

impl HostServices {
    /// Writes a line of the module's log. A message longer than [`MAX_LINE_BYTES`] is cut, and fields longer than that are left out; the
    /// message says so.
    pub(super) fn write_log(&self, log: &LogFrame<'_>) {
        let fields = log.fields.filter(|fields| fields.get().len() <= MAX_LINE_BYTES).map(ToOwned::to_owned);
        let are_left_out = log.fields.is_some() && fields.is_none();
        let note = if are_left_out { " (its fields are too long)" } else { "" };
        if log.level == LogLevel::Error {
            self.output.keep(&log.message);
        }
        self.backends.logs.write(Record {
            level: log.level,
            origin: Origin::Module,
            trace_id: log.trace_id.clone().into_owned(),
            fields,
            ..Record::new(&self.instance, format!("{}{note}", shortened(&log.message, MAX_LINE_BYTES)))
        });
    }

    /// `logging.log`. Without a trace of its own, a line has that of the request that a sequential module handles.
    pub(super) fn logging(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        params: &Object<'_>,
        trace_id: &str,
        batch: &mut WriteBatch,
    ) -> Refusal {
        #[derive(Deserialize)]
        struct Params<'a> {
            level: LenientLevel,
            #[serde(borrow)]
            message: Cow<'a, str>,
            #[serde(borrow)]
            fields: Option<&'a RawValue>,
        }
        let Params { level: LenientLevel(level), message, fields } = read_params(params)?;
        let trace_id = match connection.handled(None) {
            Some(request) if trace_id.is_empty() => request.trace_id.to_string(),
            _ => trace_id.to_owned(),
        };
        self.write_log(&LogFrame { level, message, fields, trace_id: trace_id.into() });
        connection.end_call(id, Ok(empty_object()), batch);
        Ok(())
    }
}

/// A level in any case, and by the names of other loggers, such as `WARNING`.
struct LenientLevel(LogLevel);

impl<'de> Deserialize<'de> for LenientLevel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let unknown = || {
            let expected = "expected `trace`, `debug`, `info`, `warn` or `error`";
            serde::de::Error::custom(format!("there is no level `{name}`: {expected}"))
        };
        level_named(&name).map(Self).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_as_people_and_other_loggers_write_it() {
        let level = |name: &str| serde_json::from_value::<LenientLevel>(name.into()).map(|level| level.0.as_str());
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
