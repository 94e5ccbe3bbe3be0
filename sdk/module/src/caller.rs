//! The trait of the two types that can call the host and other modules.

use serde::Serialize;

use crate::host_services::bus::{Bus, Call};
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

/// A typed call; for generated code. `ttl_ms` is that of the callee's manifest; `None` if it has none, or is not imported.
#[doc(hidden)]
pub fn call<R>(caller: &impl Caller, topic: &'static str, request: &impl Serialize, ttl_ms: Option<u64>) -> Call<R> {
    caller.bus().call_declared(topic, serde_json::to_vec(request).map_err(Into::into), ttl_ms)
}

/// The same with bytes as payload, for a service that declares no request; for generated code.
#[doc(hidden)]
pub fn call_raw<R>(caller: &impl Caller, topic: &'static str, payload: &[u8], ttl_ms: Option<u64>) -> Call<R> {
    caller.bus().call_declared(topic, Ok(payload.to_vec()), ttl_ms)
}
