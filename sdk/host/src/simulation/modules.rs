//! The modules of the simulation, written like those of any author, with the code that is generated from
//! `manifests/valid/simulation-worker.toml` and `simulation-relay.toml`. They record which requests they handle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_sdk::prelude::*;
use ixt_sdk::testing;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::lock::lock;

mod worker {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/code/simulation-worker.rs"));
}

mod relay {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/code/simulation-relay.rs"));
}

/// The requests that the modules of one world have handled.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// How often a handler has begun with each job, by the id of the job.
    pub(super) begun: Mutex<BTreeMap<i64, u32>>,
    /// How often a handler has ended with each job.
    pub(super) ended: Mutex<BTreeMap<i64, u32>>,
    /// How often each event `work.told` was delivered, by the id in it.
    pub(super) told: Mutex<BTreeMap<i64, u32>>,
}

/// The records of the worlds that run, by number. `Handler::init` finds that of its world by the number in the module's
/// configuration.
static RECORDS: Mutex<BTreeMap<i64, Arc<Record>>> = Mutex::new(BTreeMap::new());

/// Adds the record of a new world, and returns its number with it. All numbers have 10 digits, so that the length of a
/// frame does not depend on them.
pub(super) fn begin_record() -> (i64, Arc<Record>) {
    static LAST: AtomicI64 = AtomicI64::new(1_000_000_000);
    let (simulation, record) = (LAST.fetch_add(1, Ordering::Relaxed), Arc::<Record>::default());
    lock(&RECORDS).insert(simulation, Arc::clone(&record));
    (simulation, record)
}

/// Removes the record of a world that has ended. A module that starts afterwards fails in `init`.
pub(super) fn end_record(simulation: i64) {
    lock(&RECORDS).remove(&simulation);
}

/// The record of the world with this number; an error for `init` if there is none.
fn record_of(simulation: i64) -> Result<Arc<Record>> {
    lock(&RECORDS).get(&simulation).map(Arc::clone).ok_or_else(|| Error::internal("there is no such simulation"))
}

/// Adds 1 to the count of an id.
fn count(counts: &Mutex<BTreeMap<i64, u32>>, id: i64) {
    *lock(counts).entry(id).or_default() += 1;
}

/// Handles jobs, and reads and writes keys.
struct Worker(Arc<Record>);

impl Worker {
    /// Handles a job, which takes `ms` milliseconds of simulated time.
    async fn work(&self, id: i64, ms: i64) {
        count(&self.0.begun, id);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
        }
        count(&self.0.ended, id);
    }
}

impl worker::Handler for Worker {
    async fn init(config: worker::Config, _: Runtime) -> Result<Self> {
        record_of(config.simulation).map(Self)
    }

    async fn work_once(&self, job: worker::Job, _: Context) -> Result<worker::Done> {
        self.work(job.id, job.ms).await;
        Ok(worker::Done { id: job.id })
    }

    async fn work_again(&self, job: worker::Job, _: Context) -> Result<worker::Done> {
        self.work(job.id, job.ms).await;
        Ok(worker::Done { id: job.id })
    }

    async fn work_write(&self, request: worker::WorkWriteRequest, ctx: Context) -> Result<worker::WorkWriteResponse> {
        let set = ctx.kv().set_json(&request.key, &request.value);
        let set = match request.expected_revision {
            None => set,
            Some(revision) => set.expected_revision(revision.unsigned_abs()),
        };
        Ok(worker::WorkWriteResponse { revision: set.await?.cast_signed() })
    }

    async fn work_read(&self, request: worker::WorkReadRequest, ctx: Context) -> Result<worker::WorkReadResponse> {
        Ok(match ctx.kv().entry(&request.key).await? {
            None => worker::WorkReadResponse { value: None, revision: 0 },
            Some(entry) => {
                worker::WorkReadResponse { value: Some(entry.to_json()?), revision: entry.revision.cast_signed() }
            }
        })
    }
}

/// Passes jobs on to the worker, and takes events.
struct Relay(Arc<Record>);

impl relay::Handler for Relay {
    async fn init(config: relay::Config, _: Runtime) -> Result<Self> {
        record_of(config.simulation).map(Self)
    }

    async fn relay_once(&self, job: relay::Job, ctx: Context) -> Result<relay::Done> {
        let job = relay::client::worker::Job { id: job.id, ms: job.ms };
        let done = relay::client::work_once(&ctx, &job).await?;
        Ok(relay::Done { id: done.id })
    }

    async fn relay_again(&self, job: relay::Job, ctx: Context) -> Result<relay::Done> {
        let job = relay::client::worker::Job { id: job.id, ms: job.ms };
        let done = relay::client::work_again(&ctx, &job).await?;
        Ok(relay::Done { id: done.id })
    }

    async fn on_work_told(&self, told: relay::client::worker::WorkToldPayload, _: Context) -> Result<()> {
        count(&self.0.told, told.id);
        Ok(())
    }
}

/// Runs a process of the module with this name, `worker` or `relay`, until its host has shut it down or has closed the
/// socket. Panics for another name.
pub(super) async fn run(
    module: &str,
    max_concurrency: usize,
    max_queued: usize,
    socket: impl AsyncRead + AsyncWrite + Send,
) -> Result<()> {
    match module {
        "worker" => {
            let module = worker::module::<Worker>().max_concurrency(max_concurrency).max_queued(max_queued);
            testing::serve(module, socket).await
        }
        "relay" => {
            let module = relay::module::<Relay>().max_concurrency(max_concurrency).max_queued(max_queued);
            testing::serve(module, socket).await
        }
        other => unreachable!("there is no module `{other}`"),
    }
}
