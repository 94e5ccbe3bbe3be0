//! When a key expires, by the clock on the wall.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of the wall clock, in Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// When something expires that is to live this long; never earlier, so rounded up.
pub(super) fn expiry(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

pub(super) fn is_over(expiry: Option<u64>, now: u64) -> bool {
    expiry.is_some_and(|at| at <= now)
}
