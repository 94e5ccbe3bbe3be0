//! `draining`: tells a module that it gets no new requests, and will be asked to shut down.

use serde::{Deserialize, Serialize};

/// `draining`: the module gets no new requests. It finishes those that it has, and ends what would wait for long, such as a long
/// poll. `shutdown` follows when it has answered everything, or when the time is over. Sent only to a module that has named the
/// feature `draining` in its reply to `init`. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// How many milliseconds the module has for its requests.
    pub grace_ms: u64,
}

#[cfg(test)]
mod tests {
    use crate::examples::check_host;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&[r#"{"type":"draining","grace_ms":5000}"#]);
    }
}
