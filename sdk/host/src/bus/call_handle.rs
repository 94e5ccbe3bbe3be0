//! How a caller cancels a call.

use std::fmt;
use std::sync::{Arc, Weak};

use super::WriteBatch;

/// The handle with which a caller can cancel a call in progress. Dropping it does not cancel the call. The default is
/// the handle of a call that can't be cancelled, such as one that has already been answered: cancelling by it does
/// nothing.
#[derive(Debug, Default)]
#[must_use = "a call can't be cancelled without its handle"]
pub struct CallHandle(Option<(Weak<dyn Cancel>, u64)>);

impl CallHandle {
    /// A handle that cancels a call by [`owner.cancel(number)`](Cancel::cancel). It does not keep `owner` alive; once `owner` is dropped,
    /// the handle does nothing.
    pub fn new(owner: &Arc<impl Cancel + 'static>, number: u64) -> Self {
        let owner: Weak<dyn Cancel> = Arc::downgrade(owner) as _;
        Self(Some((owner, number)))
    }

    /// Cancels the call: its caller no longer waits. Afterwards its [`ReplyTo`](super::ReplyTo) is discarded, or gets a result that was on
    /// its way. Does nothing if the call has ended. Does not block.
    pub fn cancel(self, batch: &mut WriteBatch) {
        if let Some((owner, number)) = self.0
            && let Some(owner) = owner.upgrade()
        {
            owner.cancel(number, batch);
        }
    }
}

/// The owner of calls that can be cancelled: an [`Endpoint`](super::Endpoint) that has taken them, or a bus that has sent them.
pub trait Cancel: fmt::Debug + Send + Sync {
    /// Cancels the call with this number, whose caller no longer waits. `number` is the one that was passed to
    /// [`CallHandle::new`]. Nothing happens if the call has ended. Must not block; may be called from any thread.
    fn cancel(&self, number: u64, batch: &mut WriteBatch);
}
