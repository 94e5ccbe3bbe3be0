//! The times at which keys expire, by the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time of the wall clock, in Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time at which a key with this time to live expires, in Unix milliseconds. It is rounded up, so that no key expires early, and is at
/// most `u64::MAX`. A key without any time to live expires at once.
pub(super) fn expiry(now: u64, ttl: Duration) -> u64 {
    if ttl.is_zero() {
        return now;
    }
    // A part of a millisecond has passed since `now`.
    now.saturating_add(1).saturating_add(u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// Whether a key with this expiry has expired. A key with `None` never does.
pub(super) fn is_over(expiry: Option<u64>, now: u64) -> bool {
    expiry.is_some_and(|at| at <= now)
}
