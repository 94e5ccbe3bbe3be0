//! A line for the control socket of a host: what is read is what is written of it.

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
        json!({ "do": "restart", "module": "a" }),
        json!({ "do": "stop", "module": null }),
        json!({ "do": "kv_get", "module": "a", "key": "k" }),
        json!({ "do": "kv_set", "module": "a", "key": "k", "value": "aGk=", "ttl_ms": 5, "expected_revision": 0 }),
        json!({ "do": "kv_delete", "module": "a", "key": "k", "expected_revision": null }),
        json!({ "do": "kv_list", "module": "a", "prefix": "" }),
        json!({ "do": "kv_watch", "module": "a", "prefix": "stock/" }),
    ];
    commands.map(|command| command.to_string().into_bytes()).to_vec()
}
