//! `ixt kv`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::{DataInput, duration};

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a value: unchanged, or as text if stdout is a terminal. Exits 1 if there is no such key.
    Get {
        /// The module that has the key.
        module: String,
        /// The key.
        key: String,
    },
    /// Set the value of a key.
    Set {
        /// The module that has the key.
        module: String,
        /// The key.
        key: String,
        /// The value. Without it and --data, the value is read from stdin.
        #[arg(conflicts_with = "data", allow_hyphen_values = true)]
        value: Option<String>,
        /// Read the value from a file (`@FILE`) or from stdin (`-`).
        #[arg(long, value_name = "@FILE|-")]
        data: Option<DataInput>,
        /// Remove the key after this time, such as `10m`. Without it, the key stays.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        ttl: Option<Duration>,
        /// Fail unless this is the key's revision; 0 stands for a key that does not exist.
        #[arg(long, value_name = "REVISION")]
        expected_revision: Option<u64>,
    },
    /// Remove a key. Exits 1 if there is no such key.
    Delete {
        /// The module that has the key.
        module: String,
        /// The key.
        key: String,
        /// Fail unless this is the key's revision.
        #[arg(long, value_name = "REVISION")]
        expected_revision: Option<u64>,
    },
    /// Print the keys of a module.
    List {
        /// The module that has the keys.
        module: String,
        /// Only keys that begin with this text.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print changes of a module's keys as they happen, until Ctrl-C.
    Watch {
        /// The module that has the keys.
        module: String,
        /// Only keys that begin with this text.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Have a running host write the keys and values of all modules to a new file.
    ///
    /// The host goes on meanwhile; the file has the state of one moment. Only this user can read it. To restore it, put it in the
    /// place of `kv.redb` in the data directory of a host that is not running.
    Backup {
        /// The file. It must not exist yet.
        file: PathBuf,
    },
    /// Read everything in the data directory of a host that is not running, and report what is whole and what is damaged.
    ///
    /// Changes nothing. Exits 1 if anything is damaged, and 2 if the data can't be read, such as when a host uses it.
    Check {
        /// The data directory. The default is that of `ixt run`.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Save what can be read in the damaged data directory of a host that is not running.
    ///
    /// Copies it to a new file, and keeps the damaged one beside it as `kv.redb.damaged-1`, or with the next free number. Leaves
    /// undamaged data alone. Exits 2 if that is not possible, such as when a host uses the directory.
    Repair {
        /// The data directory. The default is that of `ixt run`.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}
