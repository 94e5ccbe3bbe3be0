//! The tokio runtime of `ixt build`, `ixt run` and `ixt call --module`, and the settings of the hosts that the last two start.
//! `conformance` has a runtime of its own.

use std::sync::Mutex;
use std::{io, thread};

use anyhow::Context as _;
use ixt_host::{Program, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Result};

/// A runtime with a thread for each processor that this process may use, 1 if that is not known, beside those for blocking work. Fails with
/// status 3 if the system starts no more threads for this user, or has no files for the runtime.
pub(crate) fn new() -> Result<Runtime> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    try_threads(threads).context("the system starts no more threads for this user").map_err(Failure::module)?;
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(Failure::module)
}

/// The settings of a host in this process, for `ixt run` and `ixt call --module`: the defaults, with `ixt guard` as the guard. The host may
/// adopt orphans, since all children of this process are the host's. Reads neither the host's file nor the command line: the callers apply
/// these afterwards.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    // The program that is running, even if its file has been replaced since.
    settings.guard = Some(Program::new("/proc/self/exe").arg("guard"));
    settings.adopts_orphans = true;
    settings
}

/// Starts as many threads at once as tokio will, and returns when they have ended: tokio panics if it gets no thread. Fails if one can't be
/// started.
fn try_threads(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Each thread waits for this lock, so that all of them exist at the same time.
        let _closed = gate.lock();
        (0..threads).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop))
    })
}
