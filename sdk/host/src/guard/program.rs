//! The guard as a function, for a program that [`Settings::guard`](crate::Settings::guard) names. `script.sh` does the same without
//! such a program, with the exceptions in `mod.rs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::guard::GuardMessage;
use crate::processes::cgroup::Cgroup;
use crate::processes::descendants::{Descendants, host_mark};
use crate::{control_lock, socket};

/// The pause between two looks whether processes are left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs as the guard of a host. The program that [`Settings::guard`](crate::Settings::guard) names calls this, with the times that
/// the host has passed to it in milliseconds. Reads the host's messages from stdin until stdin closes, because the host has ended.
/// Then waits up to `shutdown_grace` for the processes that the host has started to end by themselves, sends SIGTERM, waits up to
/// `exit_grace`, sends SIGKILL, waits up to `exit_grace` again until the processes are gone, and removes the host's sockets. Blocks
/// until all of that is done; each wait ends when no process is left. The control socket stays if another host has claimed its
/// path.
///
/// Ignores SIGINT, SIGTERM, SIGHUP and SIGPIPE in this process, and changes its working directory to `/`; both stay so afterwards.
/// To be called outside of a tokio runtime.
///
/// # Errors
///
/// If no runtime for signals can be made, or a signal can't be ignored. Then no process is ended, and no socket removed.
pub fn run(shutdown_grace: Duration, exit_grace: Duration) -> io::Result<()> {
    ignore_signals()?;
    // Otherwise the file system of the host's working directory could not be unmounted.
    let _ = std::env::set_current_dir("/");
    Inventory::read(io::stdin().lock()).end(shutdown_grace, exit_grace);
    Ok(())
}

/// Ignores the signals that a terminal or a service manager sends to all processes: the guard ends after its host.
fn ignore_signals() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _runtime = runtime.enter();
    // Once tokio has handled a signal, it does not end the process any more, even after its handler is dropped.
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::pipe()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// What the guard knows of the host, by its messages. What was not sent is empty or `None`. Of two messages of the same kind, other
/// than groups, the later one holds.
#[derive(Default)]
struct Inventory {
    groups: BTreeSet<i32>,
    id: Option<String>,
    sockets: Option<PathBuf>,
    cgroup: Option<PathBuf>,
    control: Option<PathBuf>,
}

impl Inventory {
    /// Reads messages until the end of the input. An error ends it too, since the host is not watched without it. A line that is no
    /// message is left out.
    fn read(input: impl BufRead) -> Self {
        let mut known = Self::default();
        for line in input.split(b'\n').map_while(Result::ok) {
            if let Some(entry) = str::from_utf8(&line).ok().and_then(GuardMessage::read) {
                known.add(entry);
            }
        }
        known
    }

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

    /// Ends the processes that are left, and removes the sockets. Blocks.
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
        // A cgroup can only be removed when its last process is gone.
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

/// Waits until no process is left, for `grace` at most.
fn await_end(descendants: &mut Descendants, grace: Duration) {
    let end = Instant::now() + grace;
    while descendants.any_left() && Instant::now() < end {
        sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Removes the control socket of a host that has ended, unless another host has locked the socket's lock file, or there
/// is no lock file.
fn remove_control(path: &Path) {
    let Ok(lock) = File::options().write(true).open(control_lock::lock_path(path)) else { return };
    if lock.try_lock().is_ok() && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_can_not_be_read_does_not_hide_the_others() {
        let known = Inventory::read(&b"group 7\n\xff\nnonsense\ngroup 8\nended 7\nhost a"[..]);
        assert_eq!((known.groups, known.id.as_deref()), (BTreeSet::from([8]), Some("a")));
    }
}
