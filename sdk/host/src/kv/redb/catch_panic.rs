//! Catches panics of redb, which asserts much about the content of a file: one bad page must not end the host's store.
//!
//! The thread-local variable is necessary. A panic hook is global to the process and gets only the panic, so that it has
//! to ask the thread that panics whether the panic will be caught.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// Whether a panic of this thread would be caught by [`caught`].
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `run`. If it panics, returns the message of the panic as the error.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // A panic can leave only the database half changed, which is then opened again or no longer used.
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(outer);
    result.map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("redb panicked").to_owned()
    })
}

/// Installs a panic hook that prints nothing for panics that a [`RedbStore`](super::RedbStore) catches, since its callers get an error for
/// them. Other panics go to the hook that was installed before. Call it once, at the start of a program. A second call does no harm.
pub fn quiet_panics() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !CAUGHT.get() {
            before(panic);
        }
    }));
}
