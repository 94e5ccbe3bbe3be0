//! Turns a panic of the author's code into an error, so that the request is answered and the module lives on. Used for
//! everything that runs a `Handler`.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use crate::module::Boxed;
use crate::{Error, Result};

/// Makes some work and runs it to its end; a panic is the error `INTERNAL`. The panic's message is not told to the caller,
/// since it may show what should stay here: the panic hook has written it to the log.
pub(crate) async fn caught<T>(what: impl Display, make: impl FnOnce() -> Boxed<Result<T>>) -> Result<T> {
    let mut work = Caught::new(make);
    std::future::poll_fn(|cx| work.poll(cx, &what)).await
}

/// Some of the author's work, whose panics end with it.
pub(crate) struct Caught<T>(Option<Boxed<Result<T>>>);

impl<T> Caught<T> {
    pub(crate) fn new(make: impl FnOnce() -> Boxed<Result<T>>) -> Self {
        Self(catch_unwind(AssertUnwindSafe(make)).ok())
    }

    /// Goes on with it; `what` is how the error calls it. Not to be polled again after its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, what: &impl Display) -> Poll<Result<T>> {
        // After a panic the future isn't polled again, so nobody sees what it left half done but a handler that shares
        // it with others, for which a poisoned mutex is the usual guard.
        let polled = self.0.as_mut().map(|work| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))));
        match polled {
            Some(Ok(polled)) => polled,
            None | Some(Err(_)) => {
                Poll::Ready(Err(Error::internal(format!("{what} panicked; the module's log says where"))))
            }
        }
    }
}

/// What is dropped before its end runs the author's destructors, which may panic too.
impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.take()));
    }
}
