//! `ready`: whether the module takes new requests.

use serde::{Deserialize, Serialize};

/// `ready`: whether the module takes new service requests and events. Holds until the next such frame. Sent only to a host that
/// offers the feature `ready`, at any time after `init` has come. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// `false` if the module takes none for now. What it was sent before stays with it.
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
