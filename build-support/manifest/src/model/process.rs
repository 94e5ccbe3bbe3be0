//! `[artifacts.process]`, `[limits]` and `[env]`: how a process of the module is started, and with what. The host starts
//! processes from this; generated code does not depend on it.

use std::time::Duration;

use super::Name;
use crate::source::Span;

/// `[artifacts.process]`: the program that the host starts. [`ProcessInfo::default`] is what holds if a manifest has no such table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Where the key `process` is written, in the manifest's text. `None` if the manifest has no such table.
    pub span: Option<Span>,
    /// The program, or the directory that contains `entry`; not empty. A relative path starts at the directory of the manifest.
    /// `None`: the program that cargo builds of the package in that directory. Then `interpreter`, `entry`, `sha256` and
    /// `size_bytes` are `None` too. The file may be missing: the manifest's reader does not look.
    pub path: Option<Name>,
    /// The file of the interpreter that runs the program, such as `python3`; one file name, not empty, not a command line. With a `/` in
    /// it, a relative path starts at the directory of the manifest; otherwise the file is looked for on the `PATH`. `None`: the
    /// program itself is executed.
    pub interpreter: Option<String>,
    /// The arguments of the interpreter, in the order of the manifest; they come before the program. Each is passed on as it is: there
    /// is no shell. An argument may be empty, and the same one may be there twice. The list is empty without an interpreter.
    pub interpreter_args: Vec<String>,
    /// The file to run, relative to the directory at `path`; not empty. If it is an absolute path, `path` has no effect. `None`: `path`
    /// is the file.
    pub entry: Option<String>,
    /// The arguments of the program, also of one that cargo builds, in the order of the manifest; the same rules as for
    /// `interpreter_args`. Not secret: other users of the machine can read them.
    pub args: Vec<String>,
    /// How frames are delimited on the module's socket, `line` or `length`. `None`: `line`.
    pub framing: Option<String>,
    /// The SHA-256 of the program's file, which is `entry` or `path` (not the interpreter), in 64 hexadecimal digits. Lower case; the
    /// manifest may have upper case. The host does not start a file that has another one, or that is outside of the manifest's
    /// directory. `None`: the host does not check it.
    pub sha256: Option<String>,
    /// The size of the same file in bytes, 0 to 2^63 - 1. The host does not start a file of another size. `None`: the host does not
    /// check it.
    pub size_bytes: Option<u64>,
    /// The timeout for a started process to connect to its host, 1 ms to 24 h. A process that misses it is ended; that is a failed
    /// start, after which the host tries again by its restart policy. `None`: the host's default. The host's configuration can
    /// override it.
    pub connect_timeout: Option<Duration>,
    /// The timeout for a connected process to answer `init`, 1 ms to 24 h, with the same consequence. A process can
    /// ask for more time with `starting` frames. `None`: the host's default. The host's configuration can override it.
    pub init_timeout: Option<Duration>,
    /// Whether a new process may run at the same time as the one that it replaces, when the host restarts or reloads the module.
    /// If not, the old one ends first. One that is not ready ends first in any case. `true` if the manifest does not say.
    pub overlap: bool,
}

impl Default for ProcessInfo {
    fn default() -> Self {
        Self {
            span: None,
            path: None,
            interpreter: None,
            interpreter_args: Vec::new(),
            entry: None,
            args: Vec::new(),
            framing: None,
            sha256: None,
            size_bytes: None,
            connect_timeout: None,
            init_timeout: None,
            overlap: true,
        }
    }
}

/// `[limits]`: what one process of the module may use. The host sets the limits right after it has started the process. A limit that is
/// `None` is not set by the manifest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProcessLimits {
    /// Where the key `limits` is written, in the manifest's text. `None` if the manifest has no such table.
    pub span: Option<Span>,
    /// Bytes of memory that the process can write to, 1 to 2^63 - 1 (`RLIMIT_DATA`). Each child has the same limit for itself.
    pub memory: Option<u64>,
    /// The number of files that the process may have open at once, at least 1 (`RLIMIT_NOFILE`). Each child has the same limit for
    /// itself. `None`: the limit with which the host was started.
    pub files: Option<u64>,
    /// Processors that the process and its children may use together, at least 0.01 and finite: `0.5` is half of the time of one,
    /// `2.0` all of the time of two. Has no effect if the host has no cgroup to enforce it.
    pub cpu: Option<f64>,
}

/// `[env]`: environment variables of the module's processes, beside those that every module gets. No variable is both in
/// `pass` and in `set`, and none is [reserved](crate::language::reserved_variable). The host's configuration can set other values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    /// The names of the variables that are copied from the host's environment, sorted: ASCII letters, digits and `_`, not beginning with a
    /// digit. A variable that is not set there is left out. Upper and lower case differ.
    pub pass: Vec<Name>,
    /// The variables whose values the manifest sets, sorted by name, each name once. They take precedence over those of the host's
    /// environment.
    pub set: Vec<Variable>,
}

/// An entry of `[env] set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name: ASCII letters, digits and `_`, not beginning with a digit.
    pub name: Name,
    /// Its value, without zero bytes; may be empty. Not secret: it is in the manifest.
    pub value: String,
}
