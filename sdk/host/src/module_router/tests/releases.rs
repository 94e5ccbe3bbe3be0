//! Tests of several releases with different topics, and of the status.

use super::*;

/// Another release of the module: without `often` and `lost`, with something new.
const NEXT: &str = r#"
schema_version = "3.0"
[module]
name = "m"
version = "1.1.0"
[provides]
services = ["once", "quick", "new"]
[requires]
events = ["fresh", "kept"]
[services.quick]
ttl_ms = 60
"#;

#[tokio::test]
async fn each_process_gets_what_its_own_manifest_provides() {
    let router = router(2).await;
    let mut old = ready(&router, WITH_IDS).await;
    let next = release(NEXT);
    router.connect(&next).await.unwrap();
    let replica = router.add_replica(&next, None, router.start_permit()).unwrap();
    assert_eq!(&**replica.id(), "m:1.1.0/instance-003");
    // No process takes it yet, but the one of the new release will.
    let mut new_topic = call(&router, message("new", 0));
    assert!(new_topic.try_recv().is_err());
    let mut new = open_with(WITH_IDS, 1 << 20, router.call_log.clone()).await.unwrap();
    router.add(&new.connection, &next, None);
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    let _calls: Vec<_> = ["often", "often", "new", "new"].map(|topic| call(&router, message(topic, 0))).into();
    event(&router, &message("fresh", 0));
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    assert_eq!(new.peer.next().await["message"]["topic"], "fresh");
    assert_eq!(old.peer.next().await["message"]["topic"], "often");
    assert_eq!(old.peer.next().await["message"]["topic"], "often");
    let _both = call(&router, message("once", 0));
    assert_eq!(old.peer.next().await["message"]["topic"], "once", "it has less to do");

    // A topic of the old release alone exists as long as one of its processes does.
    for replica in router.replicas().iter().filter(|replica| !Arc::ptr_eq(replica.release(), &next)) {
        router.forget(replica);
    }
    router.remove(&old.connection);
    assert_eq!(call(&router, message("often", 0)).await.unwrap(), "UNAVAILABLE: `m` does not provide `often` (true)");
    event(&router, &message("lost", 0));
    router.disconnect().await;
    assert!(!router.bus.is_provided("often").await && router.bus.is_provided("new").await);
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (0, 1));
    assert_eq!(router.status().version, "1.1.0");
    let _quick = call(&router, Envelope { priority: ixt_protocol::Priority::Low, ..message("quick", 0) });
    assert_eq!(new.peer.next().await["message"]["ttl_ms"], 60);
}

#[tokio::test]
async fn a_release_that_provides_what_another_module_does_changes_nothing() {
    let router = router(1).await;
    router.bus.provide("new", Arc::new(Nobody)).await.unwrap();
    let refused = router.connect(&release(NEXT)).await.unwrap_err();
    assert_eq!((refused.topic.as_str(), refused.error), ("new", BusError::AlreadyProvided));
    assert!(router.bus.is_provided("once").await && router.bus.is_provided("often").await);
}

struct Nobody;

impl crate::bus::Endpoint for Nobody {
    fn call(&self, _: Envelope<'_>, _: ReplyTo, _: &mut WriteBatch) -> CallHandle {
        CallHandle::default()
    }

    fn event(&self, _: &Envelope<'_>, _: &mut WriteBatch) {}
}

#[tokio::test]
async fn the_status_has_each_process_and_topic() {
    let router = router(2).await;
    let mut opened = ready(&router, WITH_IDS).await;
    first(&router).set(InstanceState::Ready, |status| status.connection = Some(Arc::clone(&opened.connection)));
    let answer = call(&router, message("once", 0));
    let _waits = call(&router, message("once", 0));
    opened.peer.send(r#"{"type":"error","id":2,"code":"C","message":""}"#).await;
    answer.await.unwrap();
    let status = router.status();
    assert_eq!((status.name.as_str(), status.version.as_str()), ("m", "1.0.0"));
    let ids: Vec<_> = status.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["m:1.0.0/instance-001", "m:1.0.0/instance-002"]);
    assert_eq!([status.instances[0].in_flight, status.instances[1].in_flight], [1, 0]);
    let topics: Vec<_> = status.topics.iter().map(|topic| (topic.topic.as_str(), topic.calls, topic.errors)).collect();
    assert_eq!(topics, [("kept", 0, 0), ("lost", 0, 0), ("often", 0, 0), ("once", 1, 1), ("quick", 0, 0)]);
}
