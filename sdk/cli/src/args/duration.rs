//! Durations that a user writes, on the command line and in the host's file: `5s`, `250ms`, `1h 30m`. `ixt_manifest` parses them; the
//! limits here are for durations that a host takes.

use std::time::Duration;

/// The longest duration that is accepted: 1000 years of 365 days. The host adds durations to points in time, and sends them in
/// milliseconds; up to this one neither can overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// Reads a duration from 0 to [`LONGEST`]: numbers with units, of which the sum counts. Only `0` needs no unit. The error says what is
/// wrong with the text; an empty text is an error too.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = ixt_manifest::parse_duration(text)?;
    if duration > LONGEST { Err("it is longer than 1000 years".to_owned()) } else { Ok(duration) }
}

/// Like [`duration`], but 0 is an error: no module could meet such a timeout. For `ixt conformance --timeout`.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(duration) }
}
