//! Turns a panic of the author's code into an error, so that the request gets a reply and the module lives on. All code that calls a method
//! of `Handler` or a middleware uses this, except for methods on tokio's blocking pool, whose panics `blocking` passes on to here. The
//! reading of the configuration is not within it. With `panic = "abort"` it catches nothing: the process ends. The log line about a panic
//! is made by `process/panic_hook.rs`.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use crate::boxed_future::Boxed;
use crate::error::{Error, Result};

/// Runs the future that `make` returns to its end. A panic, also in `make`, becomes the error `INTERNAL`, in which `what` names the work.
/// The error does not have the message of the panic, which may be secret: the panic hook writes it to the log.
pub(crate) async fn caught<T>(what: impl Display, make: impl FnOnce() -> Boxed<Result<T>>) -> Result<T> {
    let mut work = Caught::new(make);
    std::future::poll_fn(|cx| work.poll(cx, &what)).await
}

/// A future whose panics become errors, and whose destructor may panic. Holds `None` after a panic of `make`.
pub(crate) struct Caught<T>(Option<Boxed<Result<T>>>);

impl<T> Caught<T> {
    /// Calls `make` now; if it panics, the first poll returns the error.
    pub(crate) fn new(make: impl FnOnce() -> Boxed<Result<T>>) -> Self {
        Self(catch_unwind(AssertUnwindSafe(make)).ok())
    }

    /// Polls the future. A panic is `Ready` with the error `INTERNAL`, in which `what` names the work. Must not be called again after
    /// `Ready`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, what: &impl Display) -> Poll<Result<T>> {
        // Unwind safety: after a panic the future isn't polled again. Data that it shares with other handlers may be half changed. As
        // everywhere in Rust, a poisoned mutex guards against that.
        let polled = self.0.as_mut().map(|work| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))));
        match polled {
            Some(Ok(polled)) => polled,
            None | Some(Err(_)) => {
                Poll::Ready(Err(Error::internal(format!("{what} panicked; the module's log says where"))))
            }
        }
    }
}

/// Dropping an unfinished future runs the author's destructors. If they panic, that is caught.
impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.take()));
    }
}
