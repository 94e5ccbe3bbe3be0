//! What the commands that run modules have in common.

use std::sync::Mutex;
use std::{io, thread};

use anyhow::Context as _;
use ixt_host::{Program, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::exit::{Failure, Result};

/// A runtime with a thread for each processor.
pub(crate) fn new() -> Result<Runtime> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    try_threads(threads).context("the system starts no more threads for this user").map_err(Failure::module)?;
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(Failure::module)
}

/// How the command runs a host: it is its own guard, and has no children but the host's.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    // This very program, even if the file has been replaced since.
    settings.guard = Some(Program::new("/proc/self/exe").arg("guard"));
    settings.adopts_orphans = true;
    settings
}

/// Tokio panics where it gets no thread, so that it is tried before whether there are so many at once.
fn try_threads(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // They all stay until the last one was started.
        let _closed = gate.lock();
        (0..threads).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop))
    })
}
