//! The control socket of a running host: how the command talks to it. A connection is one request: a line of JSON, a
//! [`Command`]; what comes back is lines of JSON, [`Reply`]s, the last of which says that it is done, or why not.
//!
//! The socket is of its user alone, and nobody else can put another one into its place. A process that a module of this host has
//! started may do what that module may over its own socket; everything else is `PERMISSION_DENIED`.

mod claim;
mod lines;
mod peer;
mod server;
mod session;

use std::env;
use std::path::PathBuf;
use std::time::SystemTime;

use ixt_protocol::{LogLevel, Priority};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::logs::Record;
use crate::{ErrorReply, ModuleStatus};

pub use claim::{Claim, ControlError};
pub use server::Control;

/// What can be asked of a running host. Bytes are in base64, times in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Call a service. Its data come back.
    Call {
        /// The topic.
        topic: String,
        /// The payload.
        payload: String,
        /// How urgent it is.
        #[serde(default)]
        priority: Priority,
        /// How long the caller waits.
        #[serde(default)]
        ttl_ms: Option<u64>,
    },
    /// Publish an event.
    Publish {
        /// The topic.
        topic: String,
        /// The payload.
        payload: String,
    },
    /// How the host and its modules are: a [`HostStatus`].
    Status,
    /// Lines of the log.
    Logs(LogQuery),
    /// Start a module's processes anew, with what it is now. [`Notice`](crate::Notice)s come back.
    Restart {
        /// The module.
        module: String,
        /// Whether it is built before.
        build: bool,
    },
    /// Shut a module down, or the host. The connection ends when that is done.
    Stop {
        /// The module; `None`: the host with all of them.
        module: Option<String>,
    },
    /// A value, with `found`, `value` and `revision`.
    KvGet {
        /// The module.
        module: String,
        /// The key.
        key: String,
    },
    /// Put a value under a key. Gives the `revision`.
    KvSet {
        /// The module.
        module: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The key is removed when this is over.
        ttl_ms: Option<u64>,
        /// See the wire's `kv_store.set`.
        expected_revision: Option<u64>,
    },
    /// Remove a key. Gives `deleted`.
    KvDelete {
        /// The module.
        module: String,
        /// The key.
        key: String,
        /// See the wire's `kv_store.delete`.
        expected_revision: Option<u64>,
    },
    /// The keys that begin like this, one after the other.
    KvList {
        /// The module.
        module: String,
        /// How they begin.
        prefix: String,
    },
    /// Changes, as they come: `key`, `revision`, and `value` or `deleted`.
    KvWatch {
        /// The module.
        module: String,
        /// How the keys begin.
        prefix: String,
    },
    /// Write the keys and values of all modules to a new file. Gives their number as `keys`.
    KvBackup {
        /// The file.
        path: PathBuf,
    },
}

/// Which lines of a log are wanted: those for which all of this holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// So many of those that are there.
    pub last: usize,
    /// And those that will come.
    pub follow: bool,
    /// Of this module, and what the host says of it.
    #[serde(default)]
    pub module: Option<String>,
    /// Of this level and above.
    #[serde(default)]
    pub level: Option<LogLevel>,
    /// Of a trace whose id begins like this.
    #[serde(default)]
    pub trace: Option<String>,
    /// From this time on, in RFC 3339.
    #[serde(default, with = "since")]
    pub since: Option<SystemTime>,
}

impl LogQuery {
    pub(crate) fn takes(&self, record: &Record) -> bool {
        self.level.is_none_or(|level| record.level >= level)
            && self.since.is_none_or(|since| record.time >= since)
            && self.module.as_ref().is_none_or(|module| record.module.split(':').next() == Some(module))
            && self.trace.as_ref().is_none_or(|trace| record.trace_id.starts_with(trace.as_str()))
    }
}

/// A time that may be missing.
mod since {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::logs::rfc3339;

    #[derive(Serialize, Deserialize)]
    struct Time(#[serde(with = "rfc3339")] SystemTime);

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
    }
}

/// A line of what comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What was asked for, or a part of it.
    Data(Box<RawValue>),
    /// It is done.
    Done,
    /// It is not done.
    Error {
        /// What kind of failure it is.
        code: String,
        /// What went wrong.
        message: String,
        /// More about it.
        #[serde(default)]
        details: Value,
        /// Whether the same request may do better later.
        #[serde(default)]
        retryable: bool,
    },
}

impl From<ErrorReply> for Reply {
    fn from(ErrorReply { code, message, details, retryable }: ErrorReply) -> Self {
        Self::Error { code, message, details, retryable }
    }
}

/// How a host is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// For how many seconds it has run.
    pub seconds: f64,
    /// Its modules.
    pub modules: Vec<ModuleStatus>,
}

/// Where the control socket of this user's host is, unless another place is given: in `$XDG_RUNTIME_DIR`, or, without that,
/// in a directory of this user in the system's one for temporary files. A relative path there says nothing, as the XDG Base
/// Directory Specification has it: from another directory it would be another place.
#[must_use]
pub fn default_path() -> PathBuf {
    let absolute = |dir: &PathBuf| dir.is_absolute();
    let dir = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(absolute).map(|dir| dir.join("ixt"));
    let dir = dir.unwrap_or_else(|| {
        let temporary = Some(env::temp_dir()).filter(absolute).unwrap_or_else(|| "/tmp".into());
        temporary.join(format!("ixt-{}", rustix::process::geteuid().as_raw()))
    });
    dir.join("host.sock")
}
