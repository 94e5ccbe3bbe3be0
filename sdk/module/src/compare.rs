//! Switches for `tests/bench` (feature `compare-machinery`). The environment variable `IXT_BENCH_PLAIN` lists the parts that a process
//! replaces by plain ones, separated by commas without spaces. Other names do nothing:
//!
//! - `tasks`: a tokio task reads, and each step of a handler is a task; no reader lease, no takeover.
//! - `buffers`: large frames get fresh buffers.

use std::sync::LazyLock;

/// Whether the variable lists this part, letter by letter. The variable is read once, by the first call. If it is not set, or not UTF-8, it
/// lists nothing.
pub(crate) fn is_plain(what: &str) -> bool {
    static LISTED: LazyLock<String> = LazyLock::new(|| std::env::var("IXT_BENCH_PLAIN").unwrap_or_default());
    LISTED.split(',').any(|listed| listed == what)
}
