//! A line for the control socket of a host: a command that can be read is written and read again, which must not change it.

use ixt_host::control::ControlCommand;
use serde_json::json;

pub(crate) fn run(data: &[u8]) {
    let Ok(command) = serde_json::from_slice::<ControlCommand>(data) else { return };
    let written = serde_json::to_value(&command).unwrap();
    let read: ControlCommand = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let commands = [
        json!({ "do": "call", "topic": "a.b", "payload": "e30=", "priority": 2, "ttl_ms": 5000 }),
        json!({ "do": "publish", "topic": "a.b", "payload": "e30=" }),
        json!({ "do": "status" }),
        json!({ "do": "logs", "last": 100, "follow": true, "module": "a", "level": "warn" }),
        json!({ "do": "logs", "last": 1, "follow": false, "trace": "6d1f4a2b", "since": "2026-11-28T10:00:00.5Z" }),
        json!({ "do": "restart", "module": "a", "build": true }),
        json!({ "do": "stop", "module": null }),
        json!({ "do": "kv_get", "module": "a", "key": "k" }),
        json!({ "do": "kv_set", "module": "a", "key": "k", "value": "aGk=", "ttl_ms": 5, "expected_revision": 0 }),
        json!({ "do": "kv_delete", "module": "a", "key": "k", "expected_revision": null }),
        json!({ "do": "kv_list", "module": "a", "prefix": "" }),
        json!({ "do": "kv_watch", "module": "a", "prefix": "stock/" }),
        json!({ "do": "kv_backup", "path": "backup.redb" }),
    ];
    commands.map(|command| command.to_string().into_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_has_a_seed_that_is_read() {
        let mut seeded = BTreeSet::new();
        for seed in seeds() {
            let line = String::from_utf8_lossy(&seed).into_owned();
            let command: ControlCommand =
                serde_json::from_slice(&seed).unwrap_or_else(|error| panic!("{line}: {error}"));
            seeded.insert(serde_json::to_value(&command).unwrap()["do"].as_str().unwrap().to_owned());
        }
        // serde lists the commands: "unknown variant `none`, expected one of `call`, `publish`, …".
        let error = serde_json::from_value::<ControlCommand>(json!({ "do": "none" })).unwrap_err().to_string();
        let commands: BTreeSet<_> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert!(commands.len() > 10, "{error}");
        assert_eq!(seeded, commands);
    }
}
