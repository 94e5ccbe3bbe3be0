//! `kv_watch_ended`: tells a module that the host has ended one of its watches.

use serde::{Deserialize, Serialize};

/// `kv_watch_ended`: the host has ended a watch, because the module did not take its changes in time. Some changes are lost, and
/// no more come. A module that needs them watches anew, and reads the keys again. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWatchEnded {
    /// The number of the watch, from the response to `kv_store.watch`.
    pub watch: u64,
}

#[cfg(test)]
mod tests {
    use crate::examples::check_host;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&[r#"{"type":"kv_watch_ended","watch":1}"#]);
    }
}
