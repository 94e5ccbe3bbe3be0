//! Tests of the router, which play the part of the module's processes.

mod calls;
mod events;
mod parked;
mod releases;

use ixt_protocol::WirePayload;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::MAX_DEPTH;
use super::event_queue::{EVENTS_AT_ONCE, MAX_EVENTS};
use super::parked::MAX_PARKED;
use super::*;
use crate::bus::{BusError, CallHandle, Cause, Envelope, LocalBus, ReplyTo, WriteBatch};
use crate::call_log::CallLog;
use crate::config::Config;
use crate::connection::SharedLimits;
use crate::connection::tests::{Opened, WITH_IDS, WITHOUT_IDS, caller, open_with};
use crate::host_resources::HostResources;
use crate::kv::RedbStore;
use crate::module::Module;
use crate::program::Program;
use crate::release::Deployment;
use crate::replica::Replica;
use crate::settings::Settings;
use crate::status::InstanceState;
use crate::trace::Spans;

/// The manifest of the module `m`. [`router`] makes its event `kept` durable.
const MANIFEST: &str = r#"
schema_version = "3.0"
[module]
name = "m"
version = "1.0.0"
[provides]
services = ["once", "often", "quick"]
[requires]
events = ["kept", "lost"]
[services.often]
idempotent = true
[services.quick]
ttl_ms = 50
"#;

const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// A router of [`MANIFEST`] with this many replicas, which have no processes yet.
async fn router(instances: u32) -> Arc<ModuleRouter> {
    router_with(instances, 2 * MAX_WAITING_BYTES).await
}

/// Like [`router`], in a host with a budget of `memory` bytes.
async fn router_with(instances: u32, memory: usize) -> Arc<ModuleRouter> {
    let logs = Logs::default();
    let backends = Backends {
        bus: Arc::new(LocalBus::default()),
        kv: Arc::new(RedbStore::ephemeral().unwrap()),
        logs: logs.clone(),
        spans: Spans::default(),
        call_log: CallLog::new(logs.clone(), false),
        memory: Budget::new(memory),
        connections: SharedLimits::default(),
        resources: HostResources::new(&Settings::default(), &Logs::default()),
    };
    let release = release(MANIFEST);
    let router = ModuleRouter::new(Arc::clone(&release), CALL_TIMEOUT, &backends, watch::Sender::new(None));
    router.connect(&release).await.unwrap();
    router.disconnect().await;
    router.set_durable(&|topic| topic == "kept");
    for _ in 0..instances {
        router.add_replica(&release, None, router.start_permit()).unwrap();
    }
    router
}

fn release(manifest: &str) -> Arc<Release> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
    let module = Module::open(dir.path()).unwrap();
    Release::new(Deployment::new(&module, Program::new("m"), &Config::of(module.manifest())).unwrap())
}

fn message(topic: &str, bytes: usize) -> Envelope<'static> {
    Envelope::new(topic.to_owned(), WirePayload::from(vec![0; bytes]), "web:1.0.0", "")
}

/// Calls the module over the bus. The receiver gets the result as text.
fn call(router: &ModuleRouter, message: Envelope<'_>) -> oneshot::Receiver<String> {
    let (reply, answer) = caller();
    drop(router.bus.call(message, reply, &mut WriteBatch::none()));
    answer
}

fn first(router: &ModuleRouter) -> Arc<Replica> {
    router.replicas().swap_remove(0)
}

/// Gives the router an event, without the bus. Panics if the module has no such topic.
fn event(router: &ModuleRouter, message: &Envelope<'_>) {
    let topic = lock(&router.topics).all().find(|topic| topic.name() == message.topic).map(Arc::clone).unwrap();
    router.take_event(&topic, message, &mut WriteBatch::none());
}

/// Connects a process that replies to `init` with `reply`, and lets it take calls. It counts as a process of the first
/// replica, also if there is one already.
async fn ready(router: &ModuleRouter, reply: &str) -> Opened {
    let opened = open_with(reply, 1 << 20, router.call_log.clone()).await.unwrap();
    let replica = first(router);
    replica.set(InstanceState::Ready, |status| status.connection = Some(Arc::clone(&opened.connection)));
    router.add(&opened.connection, replica.release(), None);
    opened
}

/// Does what the supervisor does when a process has ended.
fn end(router: &ModuleRouter, opened: &Opened, reason: &str) {
    router.remove(&opened.connection);
    first(router).set(InstanceState::Backoff, |status| status.reason = Some(reason.to_owned()));
    opened.connection.close(reason);
}

/// The messages in the log, without how long each call took.
fn told(router: &ModuleRouter) -> Vec<String> {
    let mut lines = router.logs.follow(usize::MAX);
    let without_time =
        |message: &str| match message.split_once(" after ").map(|(what, rest)| (what, rest.split_once(": "))) {
            Some((what, Some((_, why)))) => format!("{what}: {why}"),
            _ => message.to_owned(),
        };
    std::iter::from_fn(|| lines.try_next()).map(|line| without_time(&line.message)).collect()
}
