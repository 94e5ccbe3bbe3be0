//! The codes of errors that host and SDK use themselves; the value of each is its name. A service may declare more codes in its
//! manifest: upper-case ASCII letters, digits and `_`, the first character a letter. A module's `error` without a code, or with one
//! of more than 256 bytes, can't be read. Reading checks nothing else of a code: one that is neither here nor declared reaches the
//! caller all the same.
//!
//! `UNKNOWN_TOPIC` and `INVALID_INPUT` are those of the Python and Node.js SDKs. The others mean what gRPC's codes of the same name
//! mean.
//!
//! A code that is added here has more places. A test in `tests/workspace.rs` finds all but the last:
//!
//! - `BUILT_IN_ERROR_CODES` in `build-support/manifest/src/language/reserved.rs`: a manifest can't declare it. The host's statistics
//!   of a topic count the codes of that list one by one.
//! - `PROTOCOL.md`, "Errors": when it is sent.
//! - `sdk/host/HOST.md`, the table of outcomes in "Logs": the level of the log line about a call that failed with it.
//! - `level` in `sdk/host/src/call_log.rs`, which picks that level; for a code without an arm it is `info`, and `warn` for an
//!   event.

/// The module does not provide this topic, or does not subscribe to this event: its manifest does not name it. The SDK answers it;
/// if no module provides a topic, the host answers [`NOT_FOUND`].
pub const UNKNOWN_TOPIC: &str = "UNKNOWN_TOPIC";
/// The payload, the configuration, the frame, or the `params` of a service request are not of the declared type or shape. The same
/// request fails again.
pub const INVALID_INPUT: &str = "INVALID_INPUT";
/// The caller gave up before the request was done. A module answers this after `cancel`; the caller is gone and does not see it. A
/// module without ids gets it as the response to its own service requests, when the request that it handles is over for its caller.
pub const CANCELLED: &str = "CANCELLED";
/// The module or the host is not there, or is shutting down; or the store's disk fails, or the store is closed. `retryable` in the
/// error says whether the same request may succeed later.
pub const UNAVAILABLE: &str = "UNAVAILABLE";
/// The request is of the right shape, but the receiver's state does not allow it, such as a request before the reply to `init`, a
/// second `init`, or a call to a module without ids whose current request waits for this call.
pub const FAILED_PRECONDITION: &str = "FAILED_PRECONDITION";
/// The request would exceed a limit, such as that of a queue, of a frame's size or of what a module may store. `retryable` in the
/// error says whether the same request may succeed later.
pub const RESOURCE_EXHAUSTED: &str = "RESOURCE_EXHAUSTED";
/// The receiver does not know the type, the service or the method of the request.
pub const UNIMPLEMENTED: &str = "UNIMPLEMENTED";
/// Something unexpected happened in the process that handled the request, or its reply can't be read.
pub const INTERNAL: &str = "INTERNAL";
/// What the request is about does not exist, such as a topic of a call that no module provides.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// The stored state is not the one that the request expects: the key has another revision than `expected_revision`. The host
/// answers this to requests to its key-value store alone; the error's `details` have the key's `revision`.
pub const ABORTED: &str = "ABORTED";
/// The time that the caller (`ttl_ms`) or the host gives the request was over before the reply. The module may have carried it out
/// all the same.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// The caller may not do this: its manifest does not list the service that it calls, or the event that it publishes. A client of
/// the host's control socket gets it too, if it is a process of a module and asks for more than that module may.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
