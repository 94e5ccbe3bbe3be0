//! The conditions of `ixt logs`. The host checks them, for the kept lines and for new ones.

use std::time::SystemTime;

use ixt_protocol::LogLevel;
use serde::{Deserialize, Serialize};

use crate::logs::Record;

/// Which lines of the log to send back: those that satisfy all conditions, in the order of the log. A condition that is `None` is
/// satisfied by each line. A record in place of dropped lines is a line like others. In JSON, `last` and `follow` are required,
/// and an unknown key is an error.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// How many of the kept lines that satisfy the conditions to send back at most: the latest ones. 0: none of them. A
    /// larger number than there are is all of them.
    pub last: usize,
    /// Whether to send back new lines too, until the client closes the connection or the host has ended.
    pub follow: bool,
    /// Only lines of the module with this name, and of the host about it. It is an error (`NOT_FOUND`) if there is no such module.
    #[serde(default)]
    pub module: Option<String>,
    /// Only lines of this level and more severe ones: `warn` stands for `warn` and `error`.
    #[serde(default)]
    pub level: Option<LogLevel>,
    /// Only lines whose trace id begins with this text, in the same case. Empty: all lines, also those without a trace id.
    #[serde(default)]
    pub trace: Option<String>,
    /// Only lines that the host has received at this time or later. In JSON it is text in RFC 3339.
    #[serde(default, with = "since")]
    pub since: Option<SystemTime>,
}

impl LogQuery {
    /// Whether a line satisfies `level`, `since`, `module` and `trace`.
    pub(crate) fn matches(&self, record: &Record) -> bool {
        self.level.is_none_or(|level| record.level >= level)
            && self.since.is_none_or(|since| record.time >= since)
            && self.module.as_ref().is_none_or(|module| record.module.split(':').next() == Some(module))
            && self.trace.as_ref().is_none_or(|trace| record.trace_id.starts_with(trace.as_str()))
    }
}

/// Serializes an optional time in RFC 3339.
mod since {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::logs::rfc3339;

    #[derive(Serialize, Deserialize)]
    struct Time(#[serde(with = "rfc3339")] SystemTime);

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
    }
}
