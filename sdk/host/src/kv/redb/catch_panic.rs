//! Panics of redb, which asserts much about what it finds in a file: one bad page must not end the host's store.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// Whether a panic of this thread would be caught here. Of the thread, since a hook is told of nothing else by which it could know.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The result, or what the panic says.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // What it may leave half done is the database, which is then opened anew, or given up.
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(outer);
    result.map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("redb panicked").to_owned()
    })
}

/// From now on the process says nothing on stderr of panics that a store catches: what it answers with tells of the damage.
/// For programs to call once, at their beginning; all other panics are told as before.
pub fn quiet_panics() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if !CAUGHT.get() {
            before(panic);
        }
    }));
}
