//! `ready`: whether the module takes new calls and events.

use serde::{Deserialize, Serialize};

/// `ready`: whether the module takes new calls and events. Holds until the next such frame; before the first one the module is
/// ready. `ready` in the module's replies to `health_check` means the same: the module is not ready while one of the two says
/// `false`. Sent only to a host that offers the feature `ready`, at any time after `init` has come. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// `true`: it takes them, unless its last health report says `false`. `false`: the host sends the module no new calls and
    /// events for now, and does not end it. What already waits in the host's queue for a module without ids is still sent. The
    /// module still answers those that it has, health checks and `shutdown`.
    pub ready: bool,
}

#[cfg(test)]
mod tests {
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&[r#"{"type":"ready","ready":false}"#, r#"{"type":"ready","ready":true}"#]);
    }
}
