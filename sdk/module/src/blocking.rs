//! [`blocking`]: runs work that blocks its thread on a thread where it delays no other handler.

use crate::error::{Error, Result};
use crate::log::Scope;

/// Runs code that blocks or computes for long on a thread of tokio's blocking pool, so that the handler doesn't delay others, and waits for
/// its result. The work begins at the first poll of the future. If no thread is free then, it begins when one is. There is no timeout.
///
/// If the future is dropped before its first poll, the work never runs. If it is dropped later (the caller has cancelled the request, say),
/// the work still runs to its end, and its result is lost. If a handler calls this, log lines of the work have the trace id of its request.
///
/// ```
/// # async fn example() -> ixt_sdk::Result<()> {
/// let listing = ixt_sdk::blocking(|| Ok(std::fs::read_to_string("listing")?)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of the work; `UNAVAILABLE`, retryable, if the tokio runtime ends before the work has begun, as that of
/// [`Launcher::run`](crate::Launcher::run) does with the module.
///
/// # Panics
///
/// With the panic of the work, if it panics; at the first poll outside of a tokio runtime, or if the pool can't start its first thread.
/// Handlers run within a tokio runtime.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // Log lines of the work belong to the same request.
    let scope = Scope::current();
    #[cfg(feature = "tracing")]
    let span = tracing::Span::current();
    let work = move || {
        #[cfg(feature = "tracing")]
        let _span = span.enter();
        match scope {
            Some(scope) => scope.run(work),
            None => work(),
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::unavailable("the module is shutting down")),
        },
    }
}
