//! The trait of the two types that can call the host and other modules.

use crate::host_services::bus::Bus;
use crate::host_services::kv::Kv;

/// Makes calls to the host and to other modules. Two types implement it:
///
/// - [`Context`](crate::Context), in a handler. Calls belong to its request: they have its trace id, and its priority unless they set
///   their own, and end at its deadline at the latest.
/// - [`Runtime`](crate::Runtime), everywhere else. Each call has a new trace. Its deadline is the one that it sets, or else that of the
///   called service in its manifest; without either it has none.
pub trait Caller: sealed::Sealed + Sync {
    /// The message bus: calls other modules, and publishes events, by topic.
    fn bus(&self) -> Bus<'_> {
        Bus::new(self.link())
    }

    /// The module's key-value store, which the host keeps. All processes of the module share it; no other module sees it.
    fn kv(&self) -> Kv<'_> {
        Kv::new(self.link())
    }
}

/// Keeps authors from implementing [`Caller`].
pub(crate) mod sealed {
    pub trait Sealed {
        fn link(&self) -> &crate::host_services::link::Link;
    }
}
