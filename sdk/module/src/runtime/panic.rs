//! Turns a panic of the author's code into an error, so that the request is answered and the module lives on. Used for
//! everything that runs a `Handler`.

use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::{Error, Result};

/// Runs `work` to its end; a panic is the error `INTERNAL`. The panic's message is not told to the caller, since it may
/// show what should stay here: the panic hook has written it to stderr, and so to the log.
pub(crate) async fn caught<T>(what: impl Display, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        // After a panic the future isn't polled again, so nobody sees what it left half done but a handler that shares
        // it with others, for which a poisoned mutex is the usual guard.
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))).unwrap_or_else(|_| {
            Poll::Ready(Err(Error::internal(format!("{what} panicked; the module's log says where"))))
        })
    })
    .await
}
