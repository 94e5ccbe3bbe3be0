//! `log`: a line for the host's log.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::MAX_TRACE_ID_BYTES;
use crate::frame_reader::deserialize_optional_object;
use crate::text_limits::shortened;

/// `log`: a line for the host's log. Sent only to a host that offers the feature `log`, at any time after `init` has come; before
/// that, and without the feature, the SDK writes its lines to stderr. Has no id and no reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogFrame<'a> {
    /// How important the line is.
    pub level: LogLevel,
    /// What happened, for people. May be empty. The host's log keeps 64 KiB of a longer one, and says how long it was.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// More about it, for programs: a JSON object. The host leaves it out of its log if it is longer than 64 KiB, and says so in
    /// the message. `None` if there are no fields.
    #[serde(
        borrow,
        default,
        deserialize_with = "deserialize_optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub fields: Option<&'a RawValue>,
    /// The id of the trace that the line belongs to: that of the request during which it was written. Empty outside of requests. Cut
    /// after 256 bytes when the frame is read.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub trace_id: Cow<'a, str>,
}

impl LogFrame<'_> {
    /// Cuts the trace id at its limit. The line is not refused, so that what has happened is not lost. The message is left to the host's
    /// log, which marks that it was cut.
    pub(super) fn cut(self) -> Self {
        Self { trace_id: shortened(self.trace_id, MAX_TRACE_ID_BYTES), ..self }
    }
}

/// How important a log line is: the levels of the crates `log` and `tracing`. On the wire a level is its name in lower case; a
/// frame with another name can't be read. [`LogLevel::Error`] is the greatest; in those crates it is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every detail.
    Trace,
    /// Details that help to find a mistake.
    Debug,
    /// Something expected has happened.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
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
