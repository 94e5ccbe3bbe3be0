//! `log`: a line for the log.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame_reader::deserialize_optional_object;
use crate::text_limits::shortened;
use crate::{MAX_MESSAGE_BYTES, MAX_TRACE_ID_BYTES};

/// `log`: a line for the log. Sent only to a host that offers the feature `log`. Has no id and no reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogFrame<'a> {
    /// How important the line is.
    pub level: LogLevel,
    /// What happened, for people. May be empty. A longer text than 64 KiB is cut when it is read.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// More about it, for programs: a JSON object. A host leaves it out of its log if it is longer than 64 KiB.
    #[serde(
        borrow,
        default,
        deserialize_with = "deserialize_optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub fields: Option<&'a RawValue>,
    /// The trace of the request during which the line was written. Empty if there was none. A longer id than 256 bytes is cut
    /// when it is read.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub trace_id: Cow<'a, str>,
}

impl LogFrame<'_> {
    /// The line with its texts cut at their limits: what happened is not lost because it was said at length.
    pub(super) fn cut(self) -> Self {
        Self {
            message: shortened(self.message, MAX_MESSAGE_BYTES),
            trace_id: shortened(self.trace_id, MAX_TRACE_ID_BYTES),
            ..self
        }
    }
}

/// How important a log line is: the levels of the crates `log` and `tracing`, on the wire by their names in lower case. The order
/// is that of importance: [`LogLevel::Error`] is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every detail.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What is as it should be.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl LogLevel {
    /// The level's name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&[
            r#"{"type":"log","level":"info"}"#,
            r#"{"type":"log","level":"warn","message":"m","fields":{"free":12},"trace_id":"t"}"#,
        ]);
    }

    #[test]
    fn the_names_of_the_levels_are_those_on_the_wire() {
        for level in [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("{:?}", level.as_str()));
        }
    }
}
