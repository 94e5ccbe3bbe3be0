//! `shutdown`: asks the module to finish its requests and to exit.

use serde::{Deserialize, Serialize};

/// `shutdown`: asks the module to refuse new requests, to finish those that it has, to reply to this frame, and to exit. Besides
/// `init` it is the only request that a module accepts before it has replied to `init`. A module of `ixt-sdk` answers a second
/// `shutdown` with `UNAVAILABLE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// How many milliseconds the module has to reply. After that, or if the module does not exit soon after its reply, the host
    /// ends its process. `None` if the host does not say it, though `ixt-host` always does; a module of `ixt-sdk` then takes 5
    /// seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use crate::examples::check_host;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&[r#"{"type":"shutdown","id":4}"#, r#"{"type":"shutdown","id":4,"grace_ms":5000}"#]);
    }
}
