//! Durations that a user writes, on the command line and in the host's file: `5s`, `250ms`, `1h 30m`.

use std::time::Duration;

/// The longest duration that is accepted: 1000 years. The host adds durations to points in time, and sends them in milliseconds; up to this
/// one neither can overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// Reads a duration from 0 to [`LONGEST`]. The error says what is wrong with the text.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = ixt_manifest::parse_duration(text)?;
    if duration > LONGEST { Err("it is longer than 1000 years".to_owned()) } else { Ok(duration) }
}

/// Like [`duration`], but refuses 0, for a timeout that nothing could meet.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(duration) }
}
