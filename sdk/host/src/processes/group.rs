//! A process group that is killed when its owner is dropped, for a build. It does not find descendants that have left
//! the group: for a module's process there is `descendants`.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A process group. What is left of it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a process that was started with `process_group(0)`: its id is that of the process. Empty if the
    /// process was waited for already.
    pub(crate) fn of(leader: &Child) -> Self {
        Self(pid_of(leader))
    }

    /// Kills what is left of the group by SIGKILL. Later calls do nothing, since the id may be reused by then.
    pub(crate) fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // Fails if nothing is left in the group, which is the aim.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process id of a child; `None` once it was waited for.
pub(crate) fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}
