//! The trait of the two types that can call the host and other modules.

use serde::Serialize;

use crate::host_services::bus::{Bus, Call};
use crate::host_services::kv::Kv;

/// Makes calls to the host and to other modules. Two types implement it:
///
/// - [`Context`](crate::Context), in a handler. Calls belong to its request: they have its trace id, and its priority unless they set their
///   own, and end at its deadline at the latest. After the request was answered they still have its trace id and its deadline, but not its
///   priority.
/// - [`Runtime`](crate::Runtime), everywhere else. Each call has a new trace, and only the deadline that it sets.
///
/// A generated function of the module `client` sets the `ttl_ms` that the called service has in its manifest; [`Bus::send`] and
/// [`Bus::send_json`] set none. A call without a deadline ends at the host's timeout. Calls to the key-value store wait without a limit if
/// the request has no deadline.
pub trait Caller: sealed::Sealed + Sync {
    /// The message bus: calls other modules, and publishes events, by topic. Sends nothing by itself.
    fn bus(&self) -> Bus<'_> {
        Bus::new(self.link())
    }

    /// The module's key-value store, which the host keeps. All processes of the module share it; no other module sees it. Sends nothing by
    /// itself.
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

/// A typed call; for generated code. `ttl_ms` is that of the callee's manifest; `None` if it has none, or is not imported. A request that
/// can't be JSON is the error `INTERNAL` when the call is awaited.
#[doc(hidden)]
pub fn call<R>(caller: &impl Caller, topic: &'static str, request: &impl Serialize, ttl_ms: Option<u64>) -> Call<R> {
    caller.bus().call_declared(topic, serde_json::to_vec(request).map_err(Into::into), ttl_ms)
}

/// The same with bytes as payload, for a service that declares no request; for generated code.
#[doc(hidden)]
pub fn call_raw<R>(caller: &impl Caller, topic: &'static str, payload: &[u8], ttl_ms: Option<u64>) -> Call<R> {
    caller.bus().call_declared(topic, Ok(payload.to_vec()), ttl_ms)
}
