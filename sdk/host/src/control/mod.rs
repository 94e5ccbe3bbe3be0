//! The control socket of a running host, by which the command `ixt` and other programs talk to it.
//!
//! A connection carries one request: one line of JSON, a [`ControlCommand`]. The host replies with lines of JSON, each a
//! [`ControlReply`], of which the last is `done` or `error`. The host closes the connection after it. A client that closes its
//! connection cancels its request.
//!
//! Only the user who runs the host can connect. A process that descends from a module of this host may do what that
//! module may do over its own socket; everything else is `PERMISSION_DENIED`.
//!
//! `claim` takes the path of the socket, `server` accepts connections, `session` serves one, `lines` reads and writes
//! it, `peer` tells who is at its other end.

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

/// A request to a running host. Bytes are base64 text, times are in milliseconds. What each sends back as
/// [`ControlReply::Data`] is documented at each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlCommand {
    /// Call a service. Sends back the reply of the module.
    Call {
        /// The topic.
        topic: String,
        /// The payload, in base64.
        payload: String,
        /// The priority of the call.
        #[serde(default)]
        priority: Priority,
        /// How long the caller waits. `None`: as long as the service's `ttl` in the manifest, or without a limit.
        #[serde(default)]
        ttl_ms: Option<u64>,
    },
    /// Publish an event. Sends back nothing.
    Publish {
        /// The topic.
        topic: String,
        /// The payload, in base64.
        payload: String,
    },
    /// The status of the host and its modules. Sends back a [`HostStatus`].
    Status,
    /// Lines of the log. Sends back a [`Record`] for each.
    Logs(LogQuery),
    /// Reload a module and replace its processes. Sends back each [`Notice`](crate::Notice) as it comes. If the
    /// connection is closed while the module is loaded or built, nothing has changed.
    Restart {
        /// The module.
        module: String,
        /// Whether to build the module before.
        build: bool,
    },
    /// Shut down a module, or the host. For a module `done` comes when it has ended; for the host the connection closes
    /// without a last line when it has.
    Stop {
        /// The module; `None`: the host with all of its modules.
        module: Option<String>,
    },
    /// Read a key. Sends back `found`, and with `true` the `value` in base64 and the `revision`.
    KvGet {
        /// The module.
        module: String,
        /// The key.
        key: String,
    },
    /// Write a value. Sends back its `revision`.
    KvSet {
        /// The module.
        module: String,
        /// The key.
        key: String,
        /// The value, in base64.
        value: String,
        /// After this time the key expires. `None`: never.
        ttl_ms: Option<u64>,
        /// Write only if the key has this revision, or, with 0, if it does not exist; otherwise the error is `ABORTED`.
        expected_revision: Option<u64>,
    },
    /// Remove a key. Sends back `deleted`: whether it existed.
    KvDelete {
        /// The module.
        module: String,
        /// The key.
        key: String,
        /// Remove only if the key has this revision; otherwise the error is `ABORTED`.
        expected_revision: Option<u64>,
    },
    /// List keys. Sends back each key, sorted by bytes.
    KvList {
        /// The module.
        module: String,
        /// Only keys with this prefix; empty: all.
        prefix: String,
    },
    /// Watch keys. Sends back `watching` with the prefix, from when on nothing is missed; then for each change `key`,
    /// `revision`, and `value` in base64 or `deleted`. Ends when the client closes the connection, or with
    /// `RESOURCE_EXHAUSTED` if it does not read fast enough.
    KvWatch {
        /// The module.
        module: String,
        /// Only keys with this prefix; empty: all.
        prefix: String,
    },
    /// Write the keys and values of all modules to a new file. Sends back the number of `keys`.
    KvBackup {
        /// The file, on the host's machine; absolute, or relative to the host's working directory. It must not exist.
        path: PathBuf,
    },
}

/// Which lines of the log are wanted: those that satisfy all of these conditions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// At most this many of the lines that the host has kept, the latest ones.
    pub last: usize,
    /// Whether to go on with new lines, until the client closes the connection.
    pub follow: bool,
    /// Only lines of this module, and of the host about it.
    #[serde(default)]
    pub module: Option<String>,
    /// Only lines of this level and above.
    #[serde(default)]
    pub level: Option<LogLevel>,
    /// Only lines whose trace id begins with this.
    #[serde(default)]
    pub trace: Option<String>,
    /// Only lines from this time on, in RFC 3339.
    #[serde(default, with = "since")]
    pub since: Option<SystemTime>,
}

impl LogQuery {
    /// Whether a line satisfies all conditions.
    pub(crate) fn takes(&self, record: &Record) -> bool {
        self.level.is_none_or(|level| record.level >= level)
            && self.since.is_none_or(|since| record.time >= since)
            && self.module.as_ref().is_none_or(|module| record.module.split(':').next() == Some(module))
            && self.trace.as_ref().is_none_or(|trace| record.trace_id.starts_with(trace.as_str()))
    }
}

/// Serializes an optional time in RFC 3339.
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

/// A line that the host sends back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    /// Data that was asked for, or a part of it.
    Data(Box<RawValue>),
    /// The last line of a request that has succeeded.
    Done,
    /// The last line of a request that has failed. Data may have come before.
    Error {
        /// What kind of failure it is, such as `NOT_FOUND`.
        code: String,
        /// What went wrong, for people.
        message: String,
        /// More about it, or null.
        #[serde(default)]
        details: Value,
        /// Whether the same request may succeed later.
        #[serde(default)]
        retryable: bool,
    },
}

impl From<ErrorReply> for ControlReply {
    fn from(ErrorReply { code, message, details, retryable }: ErrorReply) -> Self {
        Self::Error { code, message, details, retryable }
    }
}

/// The status of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostStatus {
    /// The host's process id.
    pub pid: u32,
    /// The version of the host.
    pub version: String,
    /// For how many seconds its control socket has been open.
    pub seconds: f64,
    /// Its modules.
    pub modules: Vec<ModuleStatus>,
}

/// The default path of this user's control socket: `ixt/host.sock` in `$XDG_RUNTIME_DIR`, or, without that,
/// `ixt-UID/host.sock` in the directory for temporary files. A relative `XDG_RUNTIME_DIR` is ignored, as the XDG Base
/// Directory Specification demands.
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
