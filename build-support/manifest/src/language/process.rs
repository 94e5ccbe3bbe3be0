//! The sections about the module's process: `[artifacts.process]`, `[limits]` and `[env]`.

use super::{TableSpec, ValueSpec, key};

/// `[artifacts]`. `read::process` reads this, [`PROCESS`] and [`LIMITS`].
pub(crate) static ARTIFACTS: TableSpec = TableSpec {
    title: "[artifacts]",
    description: "What the host starts.",
    keys: &[key(
        "process",
        ValueSpec::Table(&PROCESS),
        "{ path = \"main.py\", interpreter = \"python3\" }",
        "A program that runs as a process.",
    )],
};

/// `[artifacts.process]`. All keys can be left out, also `path`.
pub(crate) static PROCESS: TableSpec = TableSpec {
    title: "[artifacts.process]",
    description: "The program that the host starts as a process of the module. Without `path`, it is the program that cargo builds of the package in the manifest's directory.",
    keys: &[
        key(
            "path",
            ValueSpec::Text,
            "\"dist\"",
            "The program, or the directory that contains `entry`, relative to the manifest's directory. `interpreter`, `entry`, `sha256` and `size_bytes` need it.",
        ),
        key(
            "interpreter",
            ValueSpec::Text,
            "\"python3\"",
            "The interpreter that runs the program. With a `/` in it, it is relative to the manifest's directory, otherwise it is looked for on the `PATH`. It is the name of one file: arguments are `interpreter_args`. Without it, the program itself is executed.",
        ),
        key(
            "interpreter_args",
            ValueSpec::Arguments,
            "[\"-X\", \"dev\"]",
            "The arguments of the `interpreter`, which come before the program. No shell reads them.",
        ),
        key("entry", ValueSpec::Text, "\"main.py\"", "The file to run, relative to the directory at `path`."),
        key(
            "args",
            ValueSpec::Arguments,
            "[\"--verbose\"]",
            "The arguments of the program. No shell reads them. Every user of the machine can see them.",
        ),
        key(
            "framing",
            ValueSpec::Choice(&["line", "length"]),
            "\"line\"",
            "How frames are delimited on the module's socket; the protocol's page describes both. Without it `line`.",
        ),
        key(
            "sha256",
            ValueSpec::Text,
            "\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"",
            "The SHA-256 of the program's file (with an `interpreter`, of the script), in 64 hexadecimal digits. The host does not start a file that has another one, or that is outside of the manifest's directory.",
        ),
        key(
            "size_bytes",
            ValueSpec::Integer,
            "81920",
            "The size of the same file in bytes. The host does not start a file of another size.",
        ),
        key(
            "connect_timeout",
            ValueSpec::Duration,
            "\"30s\"",
            "The timeout for a started process to connect to its host, `1ms` to `24h`. A process that misses it is ended, and the host tries again by its restart policy. Without it the host's default, which is 10 s.",
        ),
        key(
            "init_timeout",
            ValueSpec::Duration,
            "\"5m\"",
            "The timeout for a connected process to answer `init`, `1ms` to `24h`, with the same consequence. Without it the host's default, which is 60 s.",
        ),
        key(
            "overlap",
            ValueSpec::Boolean,
            "false",
            "Whether a new process may run at the same time as the one that it replaces, when the host restarts or reloads the module. With `false`, for a module that owns a port or a file, the old one ends first. Without it `true`.",
        ),
    ],
};

/// `[limits]`: of one process, not of the module as a whole.
pub(crate) static LIMITS: TableSpec = TableSpec {
    title: "[limits]",
    description: "What one process of the module may use. Without a key, the manifest sets no such limit.",
    keys: &[
        key(
            "memory",
            ValueSpec::Size,
            "\"256MiB\"",
            "Memory that the process can write to, at least 1 byte. Each of its children has the same limit.",
        ),
        key(
            "files",
            ValueSpec::Integer,
            "1024",
            "The number of files that the process may have open at once, at least 1. Each of its children has the same limit.",
        ),
        key(
            "cpu",
            ValueSpec::Number,
            "1.5",
            "Processors that the process and its children may use together, at least 0.01: with `1.5` they get as much time as one and a half processors have. If the host has no cgroup to enforce it, there is no limit, and the log warns.",
        ),
    ],
};

/// `[env]`. `read::env` reads it. Reserved variables are in `reserved`.
pub(crate) static ENV: TableSpec = TableSpec {
    title: "[env]",
    description: "Environment variables of the module's processes. Of the host's environment, every module gets `PATH`, `HOME`, `USER`, `LANG`, `LC_*`, `TZ`, `TMPDIR`, `PYTHONPATH`, `NODE_PATH`, `IXT_LOG` and `IXT_MAX_CONCURRENCY`; the host adds `PYTHONUNBUFFERED=1` unless it is set. It gets further variables only if they are listed here or in the host's configuration. `IXT_IPC_SOCKET`, `IXT_MODULE_ID`, `IXT_HOST_ID` and the variables of a service manager, such as `NOTIFY_SOCKET`, are reserved: they can't be listed.",
    keys: &[
        key(
            "pass",
            ValueSpec::Texts,
            "[\"RUST_BACKTRACE\", \"SSL_CERT_FILE\"]",
            "The names of further variables of the host's environment that the processes get. One that is not set there is left out.",
        ),
        key(
            "set",
            ValueSpec::Entries(&ValueSpec::Text),
            "{ PYTHONUTF8 = \"1\" }",
            "Variables and their values. The host's configuration can override them. Do not put secrets here: declare them as keys of `[config]` with `secret = true`.",
        ),
    ],
};
