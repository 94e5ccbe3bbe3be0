//! The author's end of a watch.

use std::fmt;
use std::future::poll_fn;

use super::calls::Subscription;
use super::stored::Change;

/// The changes of all keys with a prefix; made by [`Kv::watch`](crate::Kv::watch). Dropping it ends the watch.
///
/// It belongs to the module, not to the request in which it was begun. A handler may keep it, or move it into a task:
///
/// ```
/// # use ixt_sdk::{Caller, Result, Runtime};
/// # async fn example(runtime: Runtime) -> Result<()> {
/// let mut watch = runtime.kv().watch("prices/").await?;
/// for key in runtime.kv().list("prices/").await? {
///     // The keys from before the watch: it reports only later changes.
/// }
/// tokio::spawn(async move {
///     while let Some(change) = watch.next().await {
///         match change.to_json::<u64>()? {
///             Some(price) => println!("{} is {price}", change.key),
///             None => println!("{} is gone", change.key),
///         }
///     }
///     Ok::<_, ixt_sdk::Error>(())
/// });
/// # Ok(())
/// # }
/// ```
pub struct Watch(Subscription);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.0.number()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self(subscription)
    }

    /// Waits for the next change, without a timeout. `None` means that there will be no more, and every later call returns it too: the
    /// watch [is overrun](Watch::is_overrun), or, after the changes that were queued, the host is gone or the module has shut down.
    ///
    /// Until a change is taken, the next change of the same key replaces it and keeps its place, so that intermediate values may be
    /// skipped. Otherwise changes come in the order in which the host sends them. Cancel-safe: a future that is dropped has taken no
    /// change.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|cx| self.0.changes().poll(cx)).await
    }

    /// Whether the watch has ended because its changes were not taken fast enough: more than 32 MiB were queued in the module, or more than
    /// the host keeps (in this project's host 16 MiB for all watches of a module). Changes were lost: watch again, and then read the keys
    /// again. Once true, it stays true.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.0.changes().is_overrun()
    }
}
