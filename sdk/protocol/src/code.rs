//! The codes of errors that host and SDK use themselves. A service may add codes of its own, upper-case words like
//! these.
//!
//! `UNKNOWN_TOPIC` and `INVALID_INPUT` come from the seeds; the others mean what gRPC's codes of that name mean.

/// The module does not provide this topic.
pub const UNKNOWN_TOPIC: &str = "UNKNOWN_TOPIC";
/// The payload or the configuration is not what the manifest declares.
pub const INVALID_INPUT: &str = "INVALID_INPUT";
/// The caller gave up.
pub const CANCELLED: &str = "CANCELLED";
/// The other side is not there, or is going away; trying again later may help.
pub const UNAVAILABLE: &str = "UNAVAILABLE";
/// The request is right, but not now, such as a request before `init`.
pub const FAILED_PRECONDITION: &str = "FAILED_PRECONDITION";
/// A limit, such as that of a frame's size, would be passed.
pub const RESOURCE_EXHAUSTED: &str = "RESOURCE_EXHAUSTED";
/// A request of a type that this side does not know.
pub const UNIMPLEMENTED: &str = "UNIMPLEMENTED";
/// Something that its own side did not expect.
pub const INTERNAL: &str = "INTERNAL";
/// What was asked for does not exist.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// What is there is not what the request expects to be there, such as another revision of a key.
pub const ABORTED: &str = "ABORTED";
/// It took longer than the caller or the host waits.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// The caller may not do this; its manifest says what it uses.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
