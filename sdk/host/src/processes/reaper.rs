//! The children of the host's process: those that this crate has started and waits for, and, if the host adopts
//! orphans, the others, which are reaped here.
//!
//! Nothing in this crate waits for *any* child (`waitpid(-1)`): that could take the exit status of a child for which
//! other code waits.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::lock::lock;

/// The children that this crate has started and waits for. It is a static, since children belong to the process, which
/// may have several hosts.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<u32>> {
    lock(&OWN)
}

/// Starts a process. The caller has to wait for it, and then to call [`reaped`]. The error is the system's; then
/// nothing was started. Every child of this crate is started here: another one would be taken for an orphan.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    // Under the lock, so that a child that ends at once is not mistaken for an orphan.
    let mut own = own();
    let child = command.spawn()?;
    own.extend(child.id());
    Ok(child)
}

/// To be called once for each process from [`spawn`], when it was waited for: its id may be reused from then on.
pub(crate) fn reaped(pid: u32) {
    own().remove(&pid);
}

/// Adopts orphans: descendants of this process whose parent has ended become its children, and are reaped when they
/// end. This stops when it is dropped, for all hosts in this process. Made if
/// [`Settings::adopts_orphans`](crate::Settings::adopts_orphans) is set.
#[derive(Debug)]
pub(crate) struct Reaper(AbortHandle);

impl Reaper {
    /// Makes this process a child subreaper, and starts the task that reaps orphans. To be called within a tokio
    /// runtime. The error is the system's.
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

/// The orphans that this process has adopted and that still run: all of its children that [`spawn`] has not started, so
/// also those that other code in this process has.
pub(crate) fn orphans() -> Vec<Pid> {
    let own = own();
    given().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs()) && !is_zombie(*pid)).collect()
}

/// All children of this process, of all of its threads, own ones and orphans.
fn given() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.flat_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
    })
}

/// Whether a process has ended and was not waited for.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name of a process may contain anything, and ends at the last bracket.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
