//! A process group that ends with its owner.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A process group, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a process that was started with `process_group(0)`: its number is that of the process.
    pub(crate) fn of(leader: &Child) -> Self {
        Self(pid_of(leader))
    }

    /// Kills what is left of the group now, and nothing later, when its number may have been given to another.
    pub(crate) fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // Fails if nothing is left in the group, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process id of a child, unless it has been waited for.
pub(crate) fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}
