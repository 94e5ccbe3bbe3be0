//! Names that a manifest can't declare, because they mean something to the host or in the protocol.

/// The codes of the errors with which host and SDK reply by themselves, for any service; sorted. A service can't declare an error with one
/// of them. A test in `tests/workspace.rs` compares them with those of `ixt-protocol`.
pub const BUILT_IN_ERROR_CODES: [&str; 12] = [
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_INPUT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN_TOPIC",
];

/// Whether an environment variable is reserved: neither `[env]` of a manifest nor the host's configuration can set it for a module's
/// processes or pass it on to them. Returns the reason; `None` if the variable is not reserved.
#[must_use]
pub fn reserved_variable(name: &str) -> Option<&'static str> {
    match name {
        "IXT_IPC_SOCKET" | "IXT_MODULE_ID" | "IXT_HOST_ID" => Some("the host sets it, for each process another one"),
        "NOTIFY_SOCKET" | "LISTEN_FDS" | "LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDNAMES" | "WATCHDOG_USEC"
        | "WATCHDOG_PID" => Some("it is what the service manager says to the host: a module would speak for its host"),
        _ => None,
    }
}
