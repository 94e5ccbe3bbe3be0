//! Starts cargo: with the right environment, in a process group that is killed when [`RunningCargo`] is dropped.

use std::path::{self, Path};
use std::process::{ExitStatus, Stdio};
use std::{env, io};

use ixt_manifest::language::reserved_variable;
use rustix::process::Pid;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::guard::Guard;
use crate::processes::group::{ProcessGroup, pid_of};
use crate::processes::reaper;
use crate::program::from_here;

/// A cargo command with the working directory `dir`, whose `.cargo/config.toml` and `rust-toolchain.toml` so apply. The
/// program is the one that the variable `CARGO` names, or else the `cargo` on the `PATH`; in a process that cargo
/// itself has started, always the latter. The environment is this process's, without reserved variables, and with
/// relative target directories made absolute; in a process that cargo has started, also without `RUSTUP_TOOLCHAIN`.
pub(super) fn command(dir: &Path) -> Command {
    // If `ixt` was started by cargo, cargo has set variables that are about `ixt`, and would override the module's
    // toolchain.
    let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").is_some();
    let program = env::var_os("CARGO").filter(|_| !started_by_cargo);
    let mut cargo = Command::new(from_here(program.unwrap_or_else(|| "cargo".into()).into()));
    if started_by_cargo {
        cargo.env_remove("RUSTUP_TOOLCHAIN");
    }
    // The variables of the service manager, and those that a host sets for modules, are not for build scripts.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().and_then(reserved_variable).is_some()) {
        cargo.env_remove(name);
    }
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        // A relative path means one below this process's working directory, not below `dir`.
        if let Some(Ok(target)) = env::var_os(name).map(path::absolute) {
            cargo.env(name, target);
        }
    }
    cargo.current_dir(dir);
    cargo
}

/// A running cargo process. When this is dropped, cargo and what is left of its process group are killed.
pub(super) struct RunningCargo {
    group: ProcessGroup,
    /// The guard that knows of the process group, and the group. `None`: no guard was passed.
    guard: Option<(Guard, Pid)>,
    /// The task that waits for the process, even after this is dropped: otherwise a zombie would stay.
    ended: JoinHandle<io::Result<ExitStatus>>,
}

impl RunningCargo {
    /// Starts cargo in a new process group, to which rustc and build scripts belong too, and sends the group to the
    /// guard. Returns its stdout and stderr as well; both have to be read. Its stdin is empty. The error is that of the
    /// system.
    pub(super) fn start(mut command: Command, guard: Option<&Guard>) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = reaper::spawn(&mut command)?;
        let (group, pid) = (ProcessGroup::of(&child), pid_of(&child));
        let guard = guard.cloned().zip(pid);
        if let Some((guard, pid)) = &guard {
            guard.add(*pid);
        }
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let ended = tokio::spawn(async move {
            let status = child.wait().await;
            if let Some(pid) = pid {
                reaper::reaped(pid.as_raw_nonzero().get().unsigned_abs());
            }
            status
        });
        Ok((Self { group, guard, ended }, stdout, stderr))
    }

    /// Waits until cargo itself has ended, and then kills what is left of its group. Returns cargo's exit status.
    pub(super) async fn ended(mut self) -> io::Result<ExitStatus> {
        (&mut self.ended).await.map_err(io::Error::other)?
    }
}

impl Drop for RunningCargo {
    fn drop(&mut self) {
        self.group.end();
        if let Some((guard, pid)) = &self.guard {
            guard.remove(*pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::GuardMessage;

    #[tokio::test]
    async fn the_guard_knows_cargos_process_group_while_it_runs() {
        let (guard, mut messages) = Guard::recording();
        for is_dropped in [false, true] {
            let mut command = Command::new("cat");
            if is_dropped {
                command.arg("/dev/zero");
            }
            let (running, ..) = RunningCargo::start(command, Some(&guard)).unwrap();
            let Some(GuardMessage::Group(group)) = messages.recv().await else { panic!("it does not know the group") };
            if is_dropped {
                assert!(messages.try_recv().is_err(), "it still runs");
                drop(running);
            } else {
                assert!(running.ended().await.unwrap().success());
            }
            assert_eq!(messages.recv().await, Some(GuardMessage::Ended(group)));
        }
    }
}
