//! What the guard does: it reads from its stdin what there is, and when that ends, because the host has, it ends what is left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::guard::GuardMessage;
use crate::processes::cgroup::Cgroup;
use crate::processes::descendants::{Descendants, host_mark};
use crate::{control_lock, socket};

/// How often it is looked whether something is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the program does that [`Settings::guard`](crate::Settings::guard) names: it waits until its host, which has started it, has
/// ended, gives the modules these times to finish, and again after SIGTERM, and kills what is left; then it removes the sockets.
///
/// # Errors
///
/// If stdin can't be read.
pub fn run(shutdown_grace: Duration, exit_grace: Duration) -> io::Result<()> {
    ignore_signals()?;
    // Whatever is mounted where the host was started can be unmounted.
    let _ = std::env::set_current_dir("/");
    let mut known = Inventory::default();
    for line in io::stdin().lock().lines() {
        if let Some(entry) = GuardMessage::read(&line?) {
            known.add(entry);
        }
    }
    known.end(shutdown_grace, exit_grace);
    Ok(())
}

/// What is pressed in a terminal, or sent to all, is not for the guard: it ends when the host does.
fn ignore_signals() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _runtime = runtime.enter();
    // Whoever is told of a signal is not ended by it, even after it is told no more.
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::pipe()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// What a host has told.
#[derive(Default)]
struct Inventory {
    groups: BTreeSet<i32>,
    id: Option<String>,
    sockets: Option<PathBuf>,
    cgroup: Option<PathBuf>,
    control: Option<PathBuf>,
}

impl Inventory {
    fn add(&mut self, entry: GuardMessage) {
        match entry {
            GuardMessage::Group(group) => drop(self.groups.insert(group)),
            GuardMessage::Ended(group) => drop(self.groups.remove(&group)),
            GuardMessage::Host(id) => self.id = Some(id),
            GuardMessage::Sockets(dir) => self.sockets = Some(dir),
            GuardMessage::Cgroup(dir) => self.cgroup = Some(dir),
            GuardMessage::Control(socket) => self.control = Some(socket),
        }
    }

    fn end(self, shutdown_grace: Duration, exit_grace: Duration) {
        let mut descendants = Descendants {
            groups: self.groups.into_iter().filter_map(Pid::from_raw).collect(),
            marks: self.id.iter().map(|id| host_mark(id)).collect(),
            cgroup: self.cgroup.map(Cgroup::left),
        };
        await_end(&mut descendants, shutdown_grace);
        descendants.signal(Signal::TERM);
        await_end(&mut descendants, exit_grace);
        descendants.kill();
        // A cgroup can be removed when the last one in it is gone.
        await_end(&mut descendants, exit_grace);
        drop(descendants);
        if let Some(dir) = self.sockets {
            socket::remove(&dir);
        }
        if let Some(path) = self.control {
            remove_control(&path);
        }
    }
}

fn await_end(descendants: &mut Descendants, grace: Duration) {
    let end = Instant::now() + grace;
    while descendants.any_left() && Instant::now() < end {
        sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())));
    }
}

/// The control socket of a host that is gone, unless another host has taken its place.
fn remove_control(path: &Path) {
    let Ok(lock) = File::options().write(true).open(control_lock::lock_path(path)) else { return };
    if lock.try_lock().is_ok() && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}
