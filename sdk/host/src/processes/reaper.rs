//! The children of the host's process: which of them this crate waits for, and, where the host adopts orphans, how the
//! others are reaped.
//!
//! Nobody waits for *any* child: that would take the exit status of one that somebody else waits for.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::lock::lock;

/// The children that this crate has started and waits for. A static, since children belong to the process, however many
/// hosts it has.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<u32>> {
    lock(&OWN)
}

/// Starts a process for which the caller waits. When the caller has, it calls [`reaped`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    // Under the lock, so that a child that ends at once is not mistaken for an orphan.
    let mut own = own();
    let child = command.spawn()?;
    own.extend(child.id());
    Ok(child)
}

/// To be called when a process from [`spawn`] has ended and was waited for.
pub(crate) fn reaped(pid: u32) {
    own().remove(&pid);
}

/// Makes this process a child subreaper, and reaps the orphans that it is given, until this is dropped.
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

/// Reaps the orphans that have ended.
fn reap() {
    let own = own();
    for pid in given().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs())) {
        if is_zombie(pid) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// The orphans that were given to this process and still run.
pub(crate) fn orphans() -> Vec<Pid> {
    let own = own();
    given().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs()) && !is_zombie(*pid)).collect()
}

/// All children of this process, by whichever thread they were started or adopted.
fn given() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.flat_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
    })
}

fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // A name may contain anything, but ends with the last bracket.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
