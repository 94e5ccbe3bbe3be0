//! Catches panics of redb, which asserts much about what it finds in a file: one bad page must not end the host's
//! store.
//!
//! The thread-local must stay. A panic hook is global to the process and is told nothing but the panic, so that it can
//! only ask the thread that panics whether the panic will be caught. It is private to this file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// Whether a panic of this thread would be caught by [`caught`].
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The result of `run`, or the message of its panic.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // Only the database may be left half changed; it is then opened again or given up.
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(outer);
    result.map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("redb panicked").to_owned()
    })
}

/// Installs a panic hook that prints nothing for panics that the store catches: their callers get an error. Other
/// panics go to the hook that was installed before. To be called once, at the start of a program.
pub fn quiet_panics() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !CAUGHT.get() {
            before(panic);
        }
    }));
}
