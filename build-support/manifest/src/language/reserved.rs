//! Names that a manifest can't use, because the host or the protocol gives them a meaning.

/// The codes of errors that host and SDK answer by themselves, for any service. A service can't declare an error with one of
/// them. Sorted. A test in `tests/workspace.rs` compares them with those of `ixt-protocol`.
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

/// The reason why an environment variable can't be set or passed on to the processes of a module, neither by `[env]` of its
/// manifest nor by the configuration of its host. `None` if it can.
#[must_use]
pub fn reserved_variable(name: &str) -> Option<&'static str> {
    match name {
        "IXT_IPC_SOCKET" | "IXT_MODULE_ID" | "IXT_HOST_ID" => Some("the host sets it, for each process another one"),
        "NOTIFY_SOCKET" | "LISTEN_FDS" | "LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDNAMES" | "WATCHDOG_USEC"
        | "WATCHDOG_PID" => Some("it is what the service manager says to the host: a module would speak for its host"),
        _ => None,
    }
}
