//! How a host runs its modules: where the defaults don't fit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ixt_protocol::DEFAULT_MAX_FRAME_BYTES;

use crate::Program;

/// How a host runs its modules.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where keys and values are kept; `None`: in memory, and gone with the host.
    pub data_dir: Option<PathBuf>,
    /// How many bytes of keys and values a module may have, with 64 for each key; `None`: [`FILE_QUOTA`] in a data directory,
    /// and [`MEMORY_QUOTA`] in memory.
    ///
    /// [`FILE_QUOTA`]: crate::kv::FILE_QUOTA
    /// [`MEMORY_QUOTA`]: crate::kv::MEMORY_QUOTA
    pub kv_quota: Option<u64>,
    /// The same of single modules, by their names.
    pub kv_quotas: BTreeMap<String, u64>,
    /// What happens to a process that ends.
    pub restart: Restart,
    /// How long a process has to connect once it was started.
    pub connect_timeout: Duration,
    /// How long a module has to answer `init`.
    pub init_timeout: Duration,
    /// How often a module is asked how it is.
    pub health_interval: Duration,
    /// How long it has to answer that.
    pub health_timeout: Duration,
    /// After so many health checks in a row that failed it is restarted.
    pub health_failures: u32,
    /// How long a call waits that a module makes for a request, where neither it, nor that request, nor the manifest says; and
    /// how long an event is handled.
    pub call_timeout: Duration,
    /// Whether each call and each event that was handled has a line in the log; otherwise, only those that have failed have.
    pub log_calls: bool,
    /// How long a module has to finish what it has begun, when it is shut down.
    pub shutdown_grace: Duration,
    /// How long a process has to end after that, and again after SIGTERM, before SIGKILL.
    pub exit_grace: Duration,
    /// The largest frame on the wire.
    pub max_frame_bytes: usize,
    /// A program that calls [`guard::run`](crate::guard::run) with the two times, in milliseconds, that stand behind its arguments:
    /// `ixt guard`. With `None` a shell script does the same, in which a number may be given to another process between the look and the
    /// signal.
    pub guard: Option<Program>,
    /// Whether what modules have left behind is given to this process, which then ends it with the host, and reaps it: it becomes a
    /// "child subreaper". Only for a process whose children are all the host's, for it takes the end of any other child.
    pub adopts_orphans: bool,
}

/// What happens to a process that ends, be it that it could not be started, or was ended because it hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restart {
    /// After so many restarts within [`Restart::window`] the process is started again only after the longest wait, each time, until
    /// it has run well for [`Restart::stable_after`]; calls are not kept waiting for it meanwhile. With 0 it is not restarted at all.
    pub intensity: u32,
    /// Whether it has failed then instead, and is not started again by itself.
    pub give_up: bool,
    /// See [`Restart::intensity`].
    pub window: Duration,
    /// How long is waited before the first restart; each next one waits twice as long, give or take what keeps many
    /// modules from starting at once.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// A process that has been ready for so long is one that runs well: the next restart waits as the first did.
    pub stable_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: None,
            kv_quota: None,
            kv_quotas: BTreeMap::new(),
            restart: Restart::default(),
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

impl Default for Restart {
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

impl Restart {
    /// Nothing is restarted.
    #[must_use]
    pub fn never() -> Self {
        Self { intensity: 0, ..Self::default() }
    }
}
