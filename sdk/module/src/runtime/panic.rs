//! Turns a panic of the author's code into an error, so that the request is answered and the module lives on. Used for
//! everything that runs a `Handler`.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use crate::module::Boxed;
use crate::{Error, Result};

/// Makes some work and runs it to its end; a panic is the error `INTERNAL`. The panic's message is not told to the caller,
/// since it may show what should stay here: the panic hook has written it to stderr, and so to the log.
pub(crate) async fn caught<T>(what: impl Display, make: impl FnOnce() -> Boxed<Result<T>>) -> Result<T> {
    let panicked = |_| Error::internal(format!("{what} panicked; the module's log says where"));
    let mut work = Work(Some(catch_unwind(AssertUnwindSafe(make)).map_err(panicked)?));
    std::future::poll_fn(|cx| {
        // After a panic the future isn't polled again, so nobody sees what it left half done but a handler that shares
        // it with others, for which a poisoned mutex is the usual guard.
        catch_unwind(AssertUnwindSafe(|| work.poll(cx))).unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic))))
    })
    .await
}

struct Work<T>(Option<Boxed<T>>);

impl<T> Work<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().map_or(Poll::Pending, |work| work.as_mut().poll(cx))
    }
}

/// What is dropped before its end runs the author's destructors, which may panic too.
impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.take()));
    }
}
