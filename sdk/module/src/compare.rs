//! What `tests/bench` compares (feature `compare-machinery`): the variable `IXT_BENCH_PLAIN` lists, separated by commas, what a process
//! does in the plain way instead of by hand.
//!
//! - `tasks`: a task of tokio's reads, and each step of a handler is a task; no reader lease, no takeover.
//! - `buffers`: large frames get fresh buffers.

use std::sync::LazyLock;

/// Whether the variable lists this.
pub(crate) fn is_plain(what: &str) -> bool {
    static LISTED: LazyLock<String> = LazyLock::new(|| std::env::var("IXT_BENCH_PLAIN").unwrap_or_default());
    LISTED.split(',').any(|listed| listed == what)
}
