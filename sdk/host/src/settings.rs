//! Settings of a host: limits, timeouts and restarts. All have defaults. The embedder passes them to
//! [`Host::builder`](crate::Host::builder), and they do not change while the host runs; `ixt run` makes them from the
//! file of `--config`. What belongs to one module is in its [`Deployment`](crate::Deployment).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ixt_protocol::DEFAULT_MAX_FRAME_BYTES;

use crate::program::Program;

/// Settings of a host, for all of its modules. Start from [`Settings::default`] and change fields. A timeout or grace
/// of 0 is over at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The directory of the key-value store. It is created if it does not exist; a relative path starts at the current
    /// directory. `None` (the default): the store is in memory and is lost with the host. Ignored, like the quotas, if
    /// [`HostBuilder::kv`](crate::HostBuilder::kv) sets another store.
    pub data_dir: Option<PathBuf>,
    /// How many bytes each module may keep in the key-value store: the bytes of its keys and values, plus 64 for each
    /// key. A write beyond that is refused with `RESOURCE_EXHAUSTED`, unless it takes no more room than the value that
    /// it replaces. With 0 no key can be added. `None` (the default): [`FILE_QUOTA`] (256 MiB) with a `data_dir`,
    /// [`MEMORY_QUOTA`] (32 MiB) without.
    ///
    /// [`FILE_QUOTA`]: crate::kv::FILE_QUOTA
    /// [`MEMORY_QUOTA`]: crate::kv::MEMORY_QUOTA
    pub kv_quota: Option<u64>,
    /// The quotas, in bytes, of modules that have another one than `kv_quota`; the keys are module names. A name that
    /// no module has is ignored. Empty by default.
    pub kv_quotas: BTreeMap<String, u64>,
    /// Whether and when a process that has ended, or did not start, is started again.
    pub restart: RestartPolicy,
    /// How long a process has to connect to its socket after it was started: 10 s. A deployment or the manifest may set
    /// another time. When it is over, the process is ended, and the start has failed.
    pub connect_timeout: Duration,
    /// How long a process has to reply to `init` after it has connected: 60 s. A deployment or the manifest may set
    /// another time, and the process can extend it by `starting` frames. When it is over, the process is ended, and the
    /// start has failed. A process that is started beside the one that it replaces, on a restart by hand, has the same
    /// time again to become ready for calls.
    pub init_timeout: Duration,
    /// The time between two health checks of a process, and before the first: 10 s. If it is 0, no health checks are
    /// made.
    pub health_interval: Duration,
    /// How long a process has to reply to a health check: 5 s. A check without a reply in time has failed, unless the
    /// host itself is behind. A request is overdue when its caller gave up three times as long ago (see the
    /// [guide](crate::guide)).
    pub health_timeout: Duration,
    /// How many health checks in a row must fail until the process is ended and restarted: 3. If it is 0, failed checks
    /// are only logged.
    pub health_failures: u32,
    /// The default timeout of a call that a module makes while it handles a request, if neither the call, nor that
    /// request, nor the manifest of the called module sets one; also the time that an event has for waiting, handling
    /// and further attempts together. 300 s. Other calls have no default: without a timeout from the call or the
    /// manifest they have none.
    pub call_timeout: Duration,
    /// Whether every call and event is logged when it has ended. `false` (the default): only those that failed, and of
    /// these at most 100 a second for each module.
    pub log_calls: bool,
    /// How long a process has to finish its requests when it is shut down, and then again to reply to `shutdown`: 5 s.
    /// A process that has not replied by then gets SIGTERM.
    pub shutdown_grace: Duration,
    /// How long a process has to exit by itself after it has replied to `shutdown` or hung up, or after its start has
    /// failed: 2 s. Then it gets SIGTERM, and after the same time again SIGKILL. The processes that it leaves behind
    /// have the same time after SIGTERM.
    pub exit_grace: Duration,
    /// The largest frame on the sockets of modules, in bytes, in either direction: 16 MiB
    /// ([`DEFAULT_MAX_FRAME_BYTES`]). A larger call, or a larger response to a module, becomes the error
    /// `RESOURCE_EXHAUSTED`. A larger frame of a module is skipped, and every request that it could be the reply to
    /// fails with `INTERNAL`; a process that handles one request at a time is then restarted. A module whose `init`,
    /// with its configuration, is larger does not start.
    pub max_frame_bytes: usize,
    /// The program of the guard. It must call [`guard::run`](crate::guard::run) with its last two arguments, which the
    /// host adds: the shutdown grace and the exit grace in milliseconds. Its environment has only a `PATH`. The command
    /// `ixt` uses `ixt guard`. `None` (the default): a shell script. It does the same, with these differences: it
    /// leaves the control socket behind, it rounds the graces up to tenths of a second, it sends no SIGTERM to
    /// processes that it can only find by their cgroup, and a process id may be reused between its look at the process
    /// and its signal.
    pub guard: Option<Program>,
    /// Whether the host's process becomes a "child subreaper": descendants whose parent has ended become its children,
    /// are reaped, and are ended with the host. Only for a program whose child processes are all started by this crate:
    /// the host would reap others too, and code that waits for them would fail. `false` by default.
    pub adopts_orphans: bool,
}

/// Whether and when a process is started again after it has ended, could not be started, or was ended because it hung.
/// Start from [`RestartPolicy::default`] or [`RestartPolicy::never`] and change fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// How many restarts within [`window`](Self::window) are made with growing pauses: 5. After that the process *keeps
    /// failing*: each further restart waits [`max_backoff`](Self::max_backoff), and until the process is ready again no
    /// call waits for it: without another process, calls are refused. That holds until it has once been ready for
    /// [`stable_after`](Self::stable_after). With 0 a process that ends or does not start has failed at once, as with
    /// [`give_up`](Self::give_up).
    ///
    /// Two kinds of restarts do not count, and are made even with 0. A process that has ended while it handled a call
    /// that was lost with an earlier process is restarted after a pause, so that callers can't make a module fail. And
    /// when the host itself lacks something for a start, such as open files, it tries again each second.
    pub intensity: u32,
    /// `true`: a process that keeps failing is not started again. Its state is `failed` until the module is restarted
    /// by hand. `false` by default.
    pub give_up: bool,
    /// The period over which restarts are counted for [`intensity`](Self::intensity): 60 s.
    pub window: Duration,
    /// The pause before the first restart: 100 ms. Each further pause is twice as long, up to
    /// [`max_backoff`](Self::max_backoff). To each is added a random part of up to the same length, so that many
    /// modules do not start at the same moment.
    pub backoff: Duration,
    /// The longest pause before a restart, without its random part: 30 s. For a process that keeps failing it is
    /// exactly the pause.
    pub max_backoff: Duration,
    /// How long a process has to be ready until it counts as stable: 30 s. After the end of a stable process the pauses
    /// begin at [`backoff`](Self::backoff) again, and it no longer counts as one that keeps failing. The restarts
    /// within [`window`](Self::window) still count.
    pub stable_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: None,
            kv_quota: None,
            kv_quotas: BTreeMap::new(),
            restart: RestartPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            init_timeout: Duration::from_secs(60),
            health_interval: Duration::from_secs(10),
            health_timeout: Duration::from_secs(5),
            health_failures: 3,
            call_timeout: Duration::from_secs(300),
            log_calls: false,
            shutdown_grace: Duration::from_secs(5),
            exit_grace: Duration::from_secs(2),
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            guard: None,
            adopts_orphans: false,
        }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            intensity: 5,
            window: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(30),
            give_up: false,
            stable_after: Duration::from_secs(30),
        }
    }
}

impl RestartPolicy {
    /// A process that has ended or could not be started is not started again: see [`intensity`](Self::intensity) for
    /// the two exceptions.
    #[must_use]
    pub fn never() -> Self {
        Self { intensity: 0, ..Self::default() }
    }
}
