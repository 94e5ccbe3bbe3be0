//! Error codes and environment variables that a manifest can't declare, because they mean something to the host or in the protocol.
//! The names of built-in types, which `[types]` can't declare, are in `read::shorthand`.

/// The error codes that the host and the SDK use themselves, in replies for any service or in responses to a module's own requests;
/// sorted, each once. A service can't declare one of them; its handler may return any of them all the same. `tests/workspace.rs` of
/// the workspace compares them with those of `ixt-protocol`.
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

/// Why an environment variable is reserved, as a clause for a message: "the host sets it for each process". `None` if it is not
/// reserved. Neither `[env]` of a manifest nor the host's configuration can set a reserved variable for a module's processes, nor
/// pass on the host's. Reserved are `IXT_IPC_SOCKET`, `IXT_MODULE_ID`, `IXT_HOST_ID`, and the variables of a service manager:
/// `NOTIFY_SOCKET`, `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_PIDFDID`, `LISTEN_FDNAMES`, `WATCHDOG_USEC` and `WATCHDOG_PID`. Other
/// `IXT_` variables are not. Upper and lower case differ: `ixt_host_id` is not reserved.
#[must_use]
pub fn reserved_variable(name: &str) -> Option<&'static str> {
    match name {
        "IXT_IPC_SOCKET" | "IXT_MODULE_ID" | "IXT_HOST_ID" => Some("the host sets it for each process"),
        "NOTIFY_SOCKET" | "LISTEN_FDS" | "LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDNAMES" | "WATCHDOG_USEC"
        | "WATCHDOG_PID" => Some("the service manager sets it for the host alone: a module could speak for the host"),
        _ => None,
    }
}
