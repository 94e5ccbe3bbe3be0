//! `kv_watch_ended`: the host has ended one of the module's watches.

use serde::{Deserialize, Serialize};

/// `kv_watch_ended`: the host has ended a watch: the module did not read its changes fast enough, a change was too long for a
/// frame, or the store has ended the watch. Changes may be lost, and the host sends no more. A module that needs them begins a new
/// watch, and then reads the keys again. Not sent after `kv_store.unwatch`. Has no id and no reply.
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
