//! `draining`: from now on the host sends the module no new calls and events; `shutdown` follows.

use serde::{Deserialize, Serialize};

/// `draining`: the host sends the module no new calls and events. The module finishes the requests that it has, and should end
/// those that would wait for long, such as a long poll. `shutdown` follows when no caller waits for a reply any more, or after
/// `grace_ms`. Sent once, and only to a module that has named the feature `draining` in its reply to `init`. A module that does not
/// read gets no `draining`, but `shutdown` alone. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// How many milliseconds the host waits at most for the replies before it sends `shutdown`, which has a time of its own.
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
