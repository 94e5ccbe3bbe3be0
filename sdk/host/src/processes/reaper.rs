//! The children of a host's process. Those that it has started it waits for by itself; what else is given to it, since whoever had
//! started that has ended, is reaped here, and found here when the host ends. Nobody waits for any child: that would take away the
//! end of one that somebody else waits for.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::lock::lock;

/// The children that this crate has started in this process and waits for.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<u32>> {
    lock(&OWN)
}

/// Starts a process for which the caller waits, and [tells](reaped) when that is done.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    // Under the lock, so that one that ends at once is none of those that are given to this process.
    let mut own = own();
    let child = command.spawn()?;
    own.extend(child.id());
    Ok(child)
}

/// A child that was started here has ended, and was waited for.
pub(crate) fn reaped(pid: u32) {
    own().remove(&pid);
}

/// As long as this is there, orphans of what this process has started are given to it, and reaped.
#[derive(Debug)]
pub(crate) struct Reaper(AbortHandle);

impl Reaper {
    pub(crate) fn start() -> io::Result<Self> {
        let mut ended = signal(SignalKind::child())?;
        set_child_subreaper(Some(getpid()))?;
        let reaping = tokio::spawn(async move {
            loop {
                reap();
                if ended.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(Self(reaping.abort_handle()))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
        let _ = set_child_subreaper(None);
    }
}

fn reap() {
    let own = own();
    for pid in given().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs())) {
        if is_zombie(pid) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// Those that were given to this process and still run.
pub(crate) fn orphans() -> Vec<Pid> {
    let own = own();
    given().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs()) && !is_zombie(*pid)).collect()
}

/// The children of this process, by whichever of its threads they were started or taken.
fn given() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.flat_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
    })
}

fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // A name may hold anything but comes to an end with the last bracket.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
