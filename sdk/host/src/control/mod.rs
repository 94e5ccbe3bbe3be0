//! The control socket of a running host, by which the command `ixt` and other programs talk to it.
//!
//! A connection carries one request: one line of JSON, a [`ControlCommand`], of at most 24 MiB without its line end (otherwise
//! `RESOURCE_EXHAUSTED`), which has to arrive within 10 s (otherwise `DEADLINE_EXCEEDED`). What comes after that line is ignored. The
//! host replies with lines of JSON, each a [`ControlReply`], of which the last is `done` or `error`, and closes the connection. (After a
//! request to stop the host it only closes it.) A client that closes its connection cancels its request, except for a restart or a stop
//! that has begun, and for a write to the store, which may still be made. One that has only closed its sending side still gets the
//! replies. When too many are connected, a connection is closed without a last line: see [`connection_limit`](crate::connection_limit).
//!
//! Only processes of the user who runs the host are served; the connections of others are closed without a reply. A process that descends
//! from a module of this host may do what that module may do over its own socket; all else that it asks for is `PERMISSION_DENIED`. So is
//! everything that a process asks for that this host has started, or that has ended, if it belongs to no module that runs.
//!
//! `claim` takes the path of the socket, `server` accepts connections, `session` serves one of them, `lines` reads and writes its lines,
//! `peer` finds out which process is at its other end.

mod claim;
mod lines;
mod log_query;
mod peer;
mod server;
mod session;

use std::env;
use std::path::PathBuf;

use ixt_protocol::Priority;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call_error::ErrorReply;
use crate::status::ModuleStatus;

pub use claim::{Claim, ControlError};
pub use log_query::LogQuery;
pub use server::Control;

/// A request to a running host. In JSON it is an object with the name of the variant in snake case under `do`, beside its fields:
/// `{"do":"kv_get","module":"orders","key":"last"}`. A field that may be `None` may be left out; an unknown one is an error, except with
/// `status`. Bytes are base64 text (other text is `INVALID_INPUT`), durations are in milliseconds. "Sends back" below means
/// [`ControlReply::Data`]. A `module` is the name of one; if the host has no such module, the error is `NOT_FOUND`. A request that can't
/// be read, or that this version does not know, is `UNIMPLEMENTED`. The errors of the key-value store have the codes of
/// [`KvError::code`](crate::kv::KvError::code).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlCommand {
    /// Call a service. Sends back the reply of the module, a JSON object. The errors are those of
    /// [`Host::call`](crate::Host::call), where [`CallError::Gone`](crate::CallError::Gone) is `UNAVAILABLE`; and
    /// `INVALID_INPUT` if the payload is not base64, or not a JSON object although the service takes one.
    Call {
        /// The topic.
        topic: String,
        /// The payload, in base64. Empty for an empty object.
        payload: String,
        /// How urgent the call is: see [`CallOptions::priority`](crate::CallOptions::priority). By default the lowest priority.
        #[serde(default)]
        priority: Priority,
        /// How long the caller waits. `None`: as long as the service's `ttl_ms` in the manifest, or without a limit if it sets none. 0
        /// fails at once with `DEADLINE_EXCEEDED`.
        #[serde(default)]
        ttl_ms: Option<u64>,
    },
    /// Publish an event. Sends back nothing; `done` comes when the bus has accepted the event. The payload is not compared with the
    /// manifest.
    Publish {
        /// The topic.
        topic: String,
        /// The payload, in base64.
        payload: String,
    },
    /// The status of the host and its modules. Sends back a [`HostStatus`].
    Status,
    /// Lines of the log. Sends back a [`Record`](crate::logs::Record) for each.
    Logs(LogQuery),
    /// Reload a module and replace its processes: see [`Host::reload`](crate::Host::reload). Sends back each [`Notice`](crate::Notice) as
    /// it comes. If the connection is closed while the module is loaded or built, or a notice is not read within 10 s, nothing has
    /// changed; afterwards the restart goes on. The errors are those of `Host::reload`.
    Restart {
        /// The module.
        module: String,
        /// Whether to build the module's program before. If false, the program of an earlier build is used. Means nothing for a host
        /// without a [`Loader`](crate::Loader).
        build: bool,
    },
    /// Shut down a module, or the host. For a module `done` comes when its processes have ended. For the host no last
    /// line comes: the connection closes when the host has ended. Closing the connection does not stop the shutdown.
    Stop {
        /// The module; `None`: the host with all of its modules.
        module: Option<String>,
    },
    /// Read a key. Sends back one object: `found`, and, if that is `true`, the `value` in base64 and the `revision`.
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
        /// After this time the key expires; 0: at once. `None`: never.
        ttl_ms: Option<u64>,
        /// Write only if the key has this revision, or, with 0, if it does not exist; otherwise the error is `ABORTED`. `None`: write in
        /// any case.
        expected_revision: Option<u64>,
    },
    /// Remove a key. Sends back `deleted`: whether it existed.
    KvDelete {
        /// The module.
        module: String,
        /// The key.
        key: String,
        /// Remove only if the key has this revision, or, with 0, if it does not exist; otherwise the error is
        /// `ABORTED`. `None`: remove in any case.
        expected_revision: Option<u64>,
    },
    /// List keys. Sends back each key as a string in a line of its own, sorted by their bytes. Keys that are written or removed meanwhile
    /// may or may not be among them.
    KvList {
        /// The module.
        module: String,
        /// Only keys with this prefix; empty: all.
        prefix: String,
    },
    /// Watch keys. First sends back `watching` with the prefix: no change after that is missed. Then sends back each change: `key`,
    /// `revision`, and `value` in base64, or `deleted` as `true` if the key was removed or has expired. Ends when the client closes the
    /// connection, with `done` when the store is closed, or with `RESOURCE_EXHAUSTED` if the client does not read fast enough.
    KvWatch {
        /// The module.
        module: String,
        /// Only keys with this prefix; empty: all.
        prefix: String,
    },
    /// Write the keys and values of all modules, as of one moment, to a new file. Sends back the number of `keys`.
    KvBackup {
        /// The file, on the host's machine; absolute, or relative to the host's working directory. It must not exist.
        path: PathBuf,
    },
}

/// A line that the host sends back. In JSON it is `{"data": …}`, `"done"` or `{"error": {…}}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    /// Data that was asked for, or a part of it: see each [`ControlCommand`].
    Data(Box<RawValue>),
    /// The last line of a request that has succeeded.
    Done,
    /// The last line of a request that has failed. Data may have come before.
    Error {
        /// What kind of failure it is, such as `NOT_FOUND`: one of [`ixt_protocol::code`], or, for a call, any code of
        /// a module.
        code: String,
        /// What went wrong, for people.
        message: String,
        /// Details in the form that a service declares for this code; `null` if there are none.
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
    /// The version of the crate `ixt-host` that the host is built with.
    pub version: String,
    /// For how many seconds it has listened at its control socket, with fractions.
    pub seconds: f64,
    /// The status of its modules, in the order in which they were added to the host.
    pub modules: Vec<ModuleStatus>,
}

/// The default path of this user's control socket: `ixt/host.sock` in `$XDG_RUNTIME_DIR`, or, without that variable, `ixt-UID/host.sock`
/// in the directory for temporary files (`$TMPDIR`, or `/tmp`). A variable with a relative path is ignored, as the XDG Base Directory
/// Specification demands. Nothing is made there or looked at.
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
