//! One world: clients that call and publish, a store, processes that are killed or restarted, and the checks at the
//! end. They check that each call has ended with its own reply or an error and in time, that no call that is not
//! idempotent was handled twice, that each event was delivered at most once, that the operations on each key are
//! linearizable, that the log reports no frame that could not be read, and that no memory, process or task is left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_protocol::{LogLevel, Priority, code};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::history::{Operation, What, is_linearizable};
use super::machine::{Machine, give_up_after, until};
use super::modules::{self, begin_record, end_record};
use super::store::Store;
use crate::call_error::CallError;
use crate::config::Config;
use crate::host::{CallOptions, Host};
use crate::host_resources::HostResources;
use crate::lock::lock;
use crate::logs::Record;
use crate::module::Module;
use crate::program::Program;
use crate::release::Deployment;
use crate::settings::Settings;

/// How long after its deadline a call may end: the delays of the simulated sockets.
const LATE: Duration = Duration::from_millis(200);
/// The limit for all clients of a world, in simulated time. They only take as long if a call never ends.
const FOREVER: Duration = Duration::from_secs(3600);

/// A call of a client with a job, which has ended or was given up.
#[derive(Debug, Clone)]
struct Done {
    topic: &'static str,
    /// The id of the job that it carried.
    id: i64,
    /// Its timeout; `None` if it had none.
    ttl: Option<Duration>,
    begin: Instant,
    end: Instant,
    /// Success, or the code of the error. `None`: the client gave up the call.
    result: Option<Result<(), String>>,
}

/// What happened in a world that has ended.
pub(super) struct Lived {
    /// A line for each call and each write, each read that has succeeded, each kill and each restart that has ended,
    /// with the simulated time.
    pub(super) trace: String,
    /// How many calls the clients made, reads and writes of keys included; events and further attempts do not count. A
    /// call of the relay counts twice, since it makes one for it.
    pub(super) requests: u64,
}

/// A world, from its begin to its end.
pub(super) struct World {
    host: Host,
    machine: Arc<Machine>,
    record: Arc<modules::Record>,
    start: Instant,
    /// Whether processes are killed and modules are restarted.
    is_deadly: bool,
    /// The last id of a job, a value or an event; 0 before the first.
    last_id: Mutex<i64>,
    /// The calls of `work.once`, `work.again` and `relay.*` that have ended or were given up.
    done: Mutex<Vec<Done>>,
    /// The operations on each key.
    history: Mutex<BTreeMap<String, Vec<Operation>>>,
    /// The ids of the events that the host has accepted.
    published: Mutex<Vec<i64>>,
    trace: Mutex<String>,
    requests: AtomicU64,
}

impl World {
    /// Runs the world of this seed, and checks it. An error says what went wrong in it, or why it could not begin.
    /// Makes a tokio runtime, and blocks the thread until the world has ended.
    pub(super) fn run(seed: u64) -> Result<Lived, String> {
        // The host draws its own random numbers from the generator of this thread.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (simulation, record) = begin_record();
        let result = runtime.block_on(async {
            let mut rng = fastrand::Rng::with_seed(seed);
            let world = Arc::new(Self::begin(simulation, record, &mut rng).await?);
            world.live(&mut rng).await?;
            world.end().await
        });
        end_record(simulation);
        result
    }

    /// Starts the host with both modules, with random settings and numbers of processes.
    async fn begin(simulation: i64, record: Arc<modules::Record>, rng: &mut fastrand::Rng) -> Result<Self, String> {
        let machine = Arc::new(Machine::new(rng));
        let health_interval = Duration::from_millis(rng.u64(500..5000));
        let mut settings = Settings { health_interval, ..Settings::default() };
        settings.restart.backoff = Duration::from_millis(rng.u64(1..200));
        let mut builder = Host::builder(settings);
        builder.kv(Arc::new(Store::new(rng)));
        for (name, manifest) in [
            ("worker", include_str!("../../../../manifests/valid/simulation-worker.toml")),
            ("relay", include_str!("../../../../manifests/valid/simulation-relay.toml")),
        ] {
            let module = Module::in_memory(name, manifest);
            let mut config = Config::of(module.manifest());
            config.set_text("simulation", &simulation.to_string()).map_err(|error| error.to_string())?;
            let deployment = Deployment::new(&module, Program::new("/simulated"), &config);
            let deployment = deployment.map_err(|error| error.to_string())?.instances(rng.u32(1..4));
            builder.module(deployment).map_err(|error| error.to_string())?;
        }
        let resources = HostResources::simulated(Arc::clone(&machine), builder.logs());
        let host = builder.start_with(resources).await.map_err(|error| error.to_string())?;
        Ok(Self {
            host,
            machine,
            record,
            start: Instant::now(),
            is_deadly: rng.bool(),
            last_id: Mutex::new(0),
            done: Mutex::default(),
            history: Mutex::default(),
            published: Mutex::default(),
            trace: Mutex::default(),
            requests: AtomicU64::new(0),
        })
    }

    /// Runs the clients, and in a deadly world kills and restarts meanwhile. Returns when all clients have ended. An
    /// error is that the modules did not start, that a client has panicked, or that the clients have not ended within
    /// [`FOREVER`].
    async fn live(self: &Arc<Self>, rng: &mut fastrand::Rng) -> Result<(), String> {
        // In half of the worlds, clients begin before the modules are ready.
        if rng.bool() {
            self.host.ready().await.map_err(|error| format!("the modules did not start: {error:?}"))?;
        }
        let mut clients = JoinSet::new();
        for _ in 0..rng.usize(1..8) {
            let (world, mut rng) = (Arc::clone(self), rng.fork());
            clients.spawn(async move {
                for _ in 0..rng.usize(1..10) {
                    sleep(Duration::from_millis(rng.u64(..60))).await;
                    world.act(&mut rng).await;
                }
            });
        }
        let killer = {
            let (world, mut rng) = (Arc::clone(self), rng.fork());
            tokio::spawn(async move {
                loop {
                    sleep(Duration::from_millis(rng.u64(10..400))).await;
                    match rng.u8(..4) {
                        0 if world.is_deadly => {
                            world.trace("a process is killed");
                            world.machine.kill_one();
                        }
                        1 if world.is_deadly => {
                            let result = world.host.restart(if rng.bool() { "worker" } else { "relay" }).await;
                            world.trace(&format!("a restart: {}", result.is_ok()));
                        }
                        _ => {}
                    }
                }
            })
        };
        let all = async {
            while let Some(client) = clients.join_next().await {
                client.map_err(|panic| format!("a client: {panic}"))?;
            }
            Ok(())
        };
        let ended = tokio::time::timeout(FOREVER, all).await;
        killer.abort();
        let _ = killer.await;
        ended.map_err(|_| "a call has never ended".to_owned())?
    }

    /// Makes one call, write, read or event of a client.
    async fn act(&self, rng: &mut fastrand::Rng) {
        match rng.u8(..10) {
            0..=4 => {
                let topics = ["work.once", "work.again", "relay.once", "relay.again"];
                let topic = topics[rng.usize(..topics.len())];
                self.call(rng, topic).await;
            }
            5..=6 => self.write(rng).await,
            7..=8 => self.read(rng).await,
            _ => {
                let id = self.next_id();
                let payload = json!({ "id": id }).to_string();
                if self.host.publish("work.told", payload.as_bytes()).await.is_ok() {
                    lock(&self.published).push(id);
                }
            }
        }
    }

    /// Calls a service with a job, with a random duration, priority and timeout. Now and then the client gives up.
    async fn call(&self, rng: &mut fastrand::Rng, topic: &'static str) {
        // The relay makes a call for each one that it gets.
        self.requests.fetch_add(if topic.starts_with("relay") { 2 } else { 1 }, Ordering::Relaxed);
        let id = self.next_id();
        let payload = json!({ "id": id, "ms": if rng.bool() { 0 } else { rng.u64(..300) } }).to_string();
        let priorities = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];
        let ttl = (rng.u8(..3) == 0).then(|| Duration::from_millis(rng.u64(..500)));
        let options = CallOptions { priority: priorities[rng.usize(..4)], ttl };
        let patience = (rng.u8(..5) == 0).then(|| Duration::from_millis(rng.u64(..200)));
        let begin = Instant::now();
        let result = give_up_after(patience, self.host.call(topic, payload.as_bytes(), options)).await;
        let result = result.map(|result| match result {
            Ok(data) => {
                let data: Value = serde_json::from_str(&data.to_json()).expect("a module answers JSON");
                if data == json!({ "id": id }) { Ok(()) } else { Err(format!("another one's answer: {data}")) }
            }
            Err(error) => Err(code_of(&error)),
        });
        self.trace(&format!("{topic} {id}: {result:?}"));
        lock(&self.done).push(Done { topic, id, ttl, begin, end: Instant::now(), result });
    }

    /// Writes one of three keys, about every second time only if it has a certain revision, and adds that to the key's
    /// history.
    async fn write(&self, rng: &mut fastrand::Rng) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let key = format!("key {}", rng.u8(..3));
        let value = self.next_id();
        let expected = (rng.bool()).then(|| rng.u64(..4));
        let mut request = json!({ "key": key, "value": value });
        if let Some(expected) = expected {
            request["expected_revision"] = expected.into();
        }
        let begin = Instant::now();
        let result = self.host.call("work.write", request.to_string().as_bytes(), CallOptions::default()).await;
        let result = match result {
            Ok(data) => {
                let data: Value = serde_json::from_str(&data.to_json()).expect("a module answers JSON");
                Some(Ok(data["revision"].as_u64().expect("a revision is a number")))
            }
            Err(CallError::Replied(reply)) if reply.code == code::ABORTED => Some(Err(())),
            // The write may have taken effect, or may still do so.
            Err(_) => None,
        };
        self.trace(&format!("{key} = {value} if {expected:?}: {result:?}"));
        let end = result.is_some().then(Instant::now);
        let what = What::Write { value, expected, result };
        lock(&self.history).entry(key).or_default().push(Operation { begin, end, what });
    }

    /// Reads one of three keys, and adds that to the key's history. A read that fails says nothing, and is left out.
    async fn read(&self, rng: &mut fastrand::Rng) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let key = format!("key {}", rng.u8(..3));
        let begin = Instant::now();
        let request = json!({ "key": key }).to_string();
        let result = self.host.call("work.read", request.as_bytes(), CallOptions::default()).await;
        let Ok(data) = result else { return };
        let data: Value = serde_json::from_str(&data.to_json()).expect("a module answers JSON");
        let read = data["value"].as_i64().zip(data["revision"].as_u64());
        self.trace(&format!("{key} is {read:?}"));
        let operation = Operation { begin, end: Some(Instant::now()), what: What::Read(read) };
        lock(&self.history).entry(key).or_default().push(operation);
    }

    /// Waits until no request is in flight and no memory is reserved, checks the world, and shuts the host down. Fails
    /// if any of these takes longer than it can in a world where all is well.
    async fn end(self: Arc<Self>) -> Result<Lived, String> {
        let memory = Arc::clone(self.host.memory());
        let is_quiet = || {
            let modules = self.host.status();
            let idle = modules.iter().flat_map(|module| &module.instances).all(|instance| instance.in_flight == 0);
            idle && memory.used() == 0
        };
        if !until(is_quiet, Duration::from_secs(600)).await {
            return Err(format!(
                "{} bytes are still held, or requests in flight: {:?}",
                memory.used(),
                self.host.status()
            ));
        }
        self.check_calls()?;
        self.check_events()?;
        self.check_log()?;
        for (key, operations) in &*lock(&self.history) {
            if !is_linearizable(operations) {
                return Err(format!("the operations on `{key}` can't have happened: {operations:#?}"));
            }
        }
        let complaints = self.host.clone().shutdown().await;
        if !complaints.is_empty() {
            return Err(format!("the shutdown: {complaints:?}"));
        }
        if self.machine.running() > 0 {
            return Err(format!("{} processes are left", self.machine.running()));
        }
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if !until(|| tasks() == 0, Duration::from_secs(60)).await {
            return Err(format!("{} tasks are left after {}", tasks(), lock(&self.trace)));
        }
        Ok(Lived { trace: std::mem::take(&mut *lock(&self.trace)), requests: self.requests.load(Ordering::Relaxed) })
    }

    /// Checks the results of all calls against what the modules have recorded.
    fn check_calls(&self) -> Result<(), String> {
        let (begun, ended) = (lock(&self.record.begun), lock(&self.record.ended));
        let of = |counts: &BTreeMap<i64, u32>, id| counts.get(&id).copied().unwrap_or_default();
        for done in &*lock(&self.done) {
            let (begun, ended) = (of(&begun, done.id), of(&ended, done.id));
            let once = ["work.once", "relay.once"].contains(&done.topic);
            if once && begun > 1 {
                return Err(format!("{done:?} was handled {begun} times"));
            }
            match &done.result {
                Some(Ok(())) if ended == 0 => return Err(format!("{done:?} has succeeded without being handled")),
                Some(Err(code)) if code == code::NOT_FOUND => return Err(format!("{done:?}")),
                Some(Err(code)) if code == code::INVALID_INPUT || code == code::INTERNAL => {
                    return Err(format!("{done:?}"));
                }
                Some(Err(code)) if code == code::DEADLINE_EXCEEDED && done.ttl.is_none() => {
                    return Err(format!("{done:?} had no deadline"));
                }
                Some(Err(code)) if code == code::UNAVAILABLE && !self.is_deadly => {
                    return Err(format!("{done:?}, though nothing was killed"));
                }
                Some(Err(other)) if other.starts_with("another") => return Err(format!("{done:?}")),
                _ => {}
            }
            if let Some(ttl) = done.ttl
                && done.end.duration_since(done.begin) > ttl + LATE
            {
                return Err(format!("{done:?} has ended {:?} after its begin", done.end.duration_since(done.begin)));
            }
        }
        Ok(())
    }

    /// Checks that each event was delivered once, or not at all if processes are killed in this world or the log says
    /// that an event was dropped or refused.
    fn check_events(&self) -> Result<(), String> {
        let told = lock(&self.record.told);
        // The log says so if an event was dropped, or a module that had too many requests refused it.
        let is_logged = self.log().iter().any(|line| line.message.contains("`work.told`"));
        for id in &*lock(&self.published) {
            match told.get(id).copied().unwrap_or_default() {
                1 => {}
                0 if self.is_deadly || is_logged => {}
                times => return Err(format!("the event {id} was delivered {times} times")),
            }
        }
        Ok(())
    }

    /// Checks that neither the host nor a module has logged a frame that it could not read.
    fn check_log(&self) -> Result<(), String> {
        let lines = self.log();
        let complaint = lines.iter().find(|line| {
            line.level >= LogLevel::Warn
                && (line.message.contains("skipped") || line.message.contains("its request was refused"))
        });
        complaint.map_or(Ok(()), |line| Err(format!("the log says: {}", line.message)))
    }

    /// The lines of the host's log so far.
    fn log(&self) -> Vec<Arc<Record>> {
        let mut lines = self.host.logs().follow(usize::MAX);
        std::iter::from_fn(|| lines.try_next()).collect()
    }

    /// An id that no other job, value or event of this world has.
    fn next_id(&self) -> i64 {
        let mut last = lock(&self.last_id);
        *last += 1;
        *last
    }

    /// Adds a line to the trace, with the simulated time.
    fn trace(&self, what: &str) {
        let _ = writeln!(lock(&self.trace), "{:>9.3?} {what}", self.start.elapsed());
    }
}

/// The code of a call's error. An error that should not occur is shown instead.
fn code_of(error: &CallError) -> String {
    match error {
        CallError::Replied(reply) => reply.code.clone(),
        CallError::Gone { .. } => code::UNAVAILABLE.to_owned(),
        other => format!("{other:?}"),
    }
}
