//! `ready`: whether the module takes new requests.

use serde::{Deserialize, Serialize};

/// `ready`: whether the module takes new calls and events. Holds until the next such frame. Sent only to a host that offers the feature
/// `ready`, at any time after `init` has come. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// `false`: the host sends the module no new calls and events for now. The module still answers those that it has.
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
