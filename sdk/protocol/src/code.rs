//! The codes of errors that host and SDK use themselves. A service may have codes of its own: upper-case words like these.
//!
//! `UNKNOWN_TOPIC` and `INVALID_INPUT` are those of the Python and Node.js SDKs. The others mean what gRPC's codes of the same name
//! mean.

/// The module does not provide this topic.
pub const UNKNOWN_TOPIC: &str = "UNKNOWN_TOPIC";
/// The payload, the configuration or the frame is not what it should be. The same request fails again.
pub const INVALID_INPUT: &str = "INVALID_INPUT";
/// The caller gave up before the request was done.
pub const CANCELLED: &str = "CANCELLED";
/// The other side is not there, or is going away. The same request may succeed later.
pub const UNAVAILABLE: &str = "UNAVAILABLE";
/// The request is right, but not in the current state, such as a request before `init`.
pub const FAILED_PRECONDITION: &str = "FAILED_PRECONDITION";
/// A limit would be exceeded, such as that of a frame's size or of a queue.
pub const RESOURCE_EXHAUSTED: &str = "RESOURCE_EXHAUSTED";
/// The receiver does not know the type, the service or the method of the request.
pub const UNIMPLEMENTED: &str = "UNIMPLEMENTED";
/// Something unexpected happened in the process that handled the request.
pub const INTERNAL: &str = "INTERNAL";
/// What the request is about does not exist, such as a topic that no module provides.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// What there is is not what the request expects, such as another revision of a key.
pub const ABORTED: &str = "ABORTED";
/// The request took longer than its caller or the host waits.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// The caller may not do this: its manifest does not list what it calls or publishes.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
