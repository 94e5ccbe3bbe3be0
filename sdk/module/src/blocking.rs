//! Work that blocks its thread, where that is allowed.

use crate::log::Scope;
use crate::{Error, Result};

/// Runs code that blocks or computes for long, from an async handler, on a thread where that holds nobody up.
///
/// Dropped before it is done, as when the caller gives up, it lets the work run to its end unseen.
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
/// Those of the work; `UNAVAILABLE` if the module ends before it has begun. A panic of the work goes on here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // What it logs belongs to the same message.
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
