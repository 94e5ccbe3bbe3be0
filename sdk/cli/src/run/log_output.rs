//! Writes the log of `ixt run` to stdout, and with `--log-dir` to files. Each is written by a separate thread, because a terminal or a disk
//! may block. If one is more than 5,000 lines or 4 MiB behind, what modules print to stdout and stderr waits for it, but for a second at
//! most; after that, lines may be left out there, and a line says how many. The log itself is `ixt_host::logs`, the files are `log_files`.

use std::path::Path;
use std::thread::{Builder, JoinHandle};

use anyhow::Context as _;
use ixt_host::logs::{Follower, Logs, Style};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::failure::{Failure, Result};
use crate::log_files::{LogFileLimits, LogFiles};
use crate::output::{is_terminal, print, print_bytes, say};

/// The threads that write the log. They end with the host, whether or not this is dropped before.
pub(super) struct LogOutput(Vec<JoinHandle<()>>);

impl LogOutput {
    /// Starts the threads: one for stdout, and if `files` is set, one for files in that directory, with these limits. Lines that the log
    /// has already are written too. Call it within a runtime. Fails with status 3 if the system has no thread for stdout, and with status 2
    /// if the directory can't be written to, or there is no thread for it.
    pub(super) fn start(logs: &Logs, json: bool, files: Option<(&Path, LogFileLimits)>) -> Result<Self> {
        let mut threads = vec![print_log(logs.follow_all(), json).map_err(Failure::module)?];
        if let Some((dir, limits)) = files {
            threads.push(write_log(logs, dir, limits).map_err(Failure::usage)?);
        }
        Ok(Self(threads))
    }

    /// Waits until the whole log of a host that has ended is written, or can't be, without a limit. While the host runs this does not
    /// return. Returns at once if the system can't start a thread for the wait.
    pub(super) async fn written(self) {
        let (sender, written) = oneshot::channel();
        let waiting = Builder::new().spawn(move || {
            for thread in self.0 {
                let _ = thread.join();
            }
            let _ = sender.send(());
        });
        if waiting.is_ok() {
            let _ = written.await;
        }
    }
}

/// Starts the thread that prints the log on stdout, until the host has ended, or until writing fails, such as when stdout was closed, which
/// is not reported; the modules run on. On a terminal the lines are for people; otherwise, and with `json`, they are JSON.
fn print_log(mut follower: Follower, json: bool) -> anyhow::Result<JoinHandle<()>> {
    let style = if !json && is_terminal() { Style::Pretty } else { Style::Json };
    let runtime = Handle::current();
    let printing = Builder::new().name("ixt-log".to_owned()).spawn(move || {
        while let Some(record) = runtime.block_on(follower.next()) {
            let line = style.show(&record);
            let printed = if style == Style::Pretty { print(&line) } else { print_bytes(line.as_bytes()) };
            if printed.is_err() {
                return;
            }
        }
    });
    printing.context("can't start a thread for the log")
}

/// Starts the thread that writes the log to files in this directory, as JSON lines, until the host has ended. A line that can't be written
/// is lost. The first of several errors in a row is reported on stderr, also one of removing old files, and the next line is written all
/// the same.
fn write_log(logs: &Logs, dir: &Path, limits: LogFileLimits) -> anyhow::Result<JoinHandle<()>> {
    let mut files = LogFiles::open(dir, limits)?;
    let mut follower = logs.follow_all();
    let runtime = Handle::current();
    let dir = dir.to_owned();
    let writing = Builder::new().name("ixt-log-files".to_owned()).spawn(move || {
        let mut has_failed = false;
        while let Some(record) = runtime.block_on(follower.next()) {
            match files.write(Style::Json.show(&record).as_bytes()) {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    say(&format!("warning: can't write the log to {}: {error}\n", dir.display()));
                }
                Err(_) => {}
            }
        }
    });
    writing.context("can't start a thread for the log")
}
