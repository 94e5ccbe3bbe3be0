//! A module's log: `log` frames, which have no response, and the call `logging.log`, which has one. Lines of stdout and
//! stderr do not come here: `logs/process_output.rs` reads them.

use std::borrow::Cow;

use ixt_protocol::{LogFrame, LogLevel, Object};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HostServices, OwnCall, Refusal, read_params};
use crate::logs::{MAX_LINE_BYTES, Origin, Record, level_named, shortened};

impl HostServices {
    /// Writes a line of the module's log. A message over [`MAX_LINE_BYTES`] is cut, and ends with its length. Fields
    /// over [`MAX_LINE_BYTES`] are left out, and the message says so. A line of the level `error` is also kept among
    /// the last lines of the process.
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

    /// `logging.log`. `trace_id` is the one in the frame. If it is empty, and the module handles one request at a time,
    /// the line has the trace of the current request, if there is one. The response is an empty object.
    pub(super) fn logging(&self, call: &mut OwnCall<'_>, params: &Object<'_>, trace_id: &str) -> Refusal {
        #[derive(Deserialize)]
        struct Params<'a> {
            level: LenientLevel,
            #[serde(borrow)]
            message: Cow<'a, str>,
            #[serde(borrow)]
            fields: Option<&'a RawValue>,
        }
        let Params { level: LenientLevel(level), message, fields } = read_params(params)?;
        let trace_id = match call.connection.handled(None) {
            Some(request) if trace_id.is_empty() => request.trace_id.to_string(),
            _ => trace_id.to_owned(),
        };
        self.write_log(&LogFrame { level, message, fields, trace_id: trace_id.into() });
        call.end(Ok(Object::empty()));
        Ok(())
    }
}

/// A level in upper or lower case, also by a name that other loggers use, such as `WARNING`. An unknown name makes the
/// call `INVALID_INPUT`.
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
