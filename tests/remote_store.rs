//! A store that another crate has made, from the docs of `ixt_host::kv` alone: it conforms, and modules use it.

use std::sync::Arc;
use std::time::Duration;

use ixt_host::CallOptions;
use ixt_host::kv::{KvStore, conformance};
use ixt_tests::{Hosts, RemoteStore, block_on};
use serde_json::{Value, json};

#[test]
fn it_conforms() {
    block_on(async { conformance::check(RemoteStore::start()).await });
}

#[test]
fn a_module_reads_writes_and_watches_keys_that_are_elsewhere() {
    block_on(async {
        let store = RemoteStore::start();
        let hosts = Hosts::new().actor("a", "[provides]\nservices = [\"a\"]");
        let mut builder = hosts.builder();
        builder.kv(Arc::clone(&store) as Arc<dyn KvStore>);
        let host = builder.start().await.unwrap();
        host.ready().await.unwrap();
        let kv = async |method: &str, params: Value| {
            let script = json!({ "do": "ask", "service": "kv_store", "method": method, "params": params });
            let reply = host.call("a", script.to_string().as_bytes(), CallOptions::default()).await.unwrap();
            reply.read::<Value>().unwrap()["data"].take()
        };
        let changes = async |least: u64| {
            let script = json!({ "do": "changes", "least": least });
            let reply = host.call("a", script.to_string().as_bytes(), CallOptions::default()).await.unwrap();
            reply.read::<Value>().unwrap()["changes"].take()
        };

        let watch = kv("watch", json!({ "prefix": "x" })).await["watch"].take();
        let revision = kv("set", json!({ "key": "x", "value": "aGk=" })).await["revision"].take();
        let got = kv("get", json!({ "key": "x" })).await;
        assert_eq!(got, json!({ "found": true, "value": "aGk=", "revision": revision }));
        let change = json!({ "type": "kv_change", "watch": watch, "key": "x", "revision": revision, "value": "aGk=" });
        assert_eq!(changes(1).await, json!([change]));

        // A store that loses its watches: each module that watches is told, and can watch again.
        store.end_watches();
        assert_eq!(changes(2).await[1], json!({ "type": "kv_watch_ended", "watch": watch }));
        for _ in 0..1024 {
            assert!(kv("watch", json!({ "prefix": "y" })).await["watch"].is_u64(), "the ended watch does not count");
        }

        // A watch whose call is cancelled before the store has begun it ends too.
        store.end_watches();
        let frames = (0..1024).map(|number| {
            let id = 1_000_000 + number;
            let request = json!({ "type": "service_request", "id": id, "service": "kv_store", "method": "watch",
                "params": { "prefix": "z" }, "context": { "trace_id": "t" } });
            format!("{request}\n{}\n", json!({ "type": "cancel", "id": id }))
        });
        let script = json!({ "do": "write", "text": frames.collect::<String>() });
        host.call("a", script.to_string().as_bytes(), CallOptions::default()).await.unwrap();
        let again = async { while !kv("watch", json!({ "prefix": "y" })).await["watch"].is_u64() {} };
        tokio::time::timeout(Duration::from_secs(60), again).await.expect("the cancelled watches do not count");
        assert_eq!(host.shutdown().await, [""; 0]);
    });
}
