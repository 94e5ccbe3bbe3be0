//! Runs cargo.

use std::path::{self, Path};
use std::process::{ExitStatus, Stdio};
use std::{env, io};

use ixt_manifest::language::reserved_variable;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::processes::group::ProcessGroup;
use crate::processes::reaper;
use crate::program::from_here;

/// Cargo in this directory, whose `.cargo/config.toml` and `rust-toolchain.toml` count.
pub(super) fn command(dir: &Path) -> Command {
    // What it has set when `ixt` itself was started by cargo is about `ixt`, and would stand before the module's toolchain.
    let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").is_some();
    let program = env::var_os("CARGO").filter(|_| !started_by_cargo);
    let mut cargo = Command::new(from_here(program.unwrap_or_else(|| "cargo".into()).into()));
    if started_by_cargo {
        cargo.env_remove("RUSTUP_TOOLCHAIN");
    }
    // What the service manager says to the host is not for build scripts.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().and_then(reserved_variable).is_some()) {
        cargo.env_remove(name);
    }
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        // A relative one is from here.
        if let Some(Ok(target)) = env::var_os(name).map(path::absolute) {
            cargo.env(name, target);
        }
    }
    cargo.current_dir(dir);
    cargo
}

/// Cargo, which ends with all that it has started when this is dropped.
pub(super) struct RunningCargo {
    group: ProcessGroup,
    /// It is waited for in any case, and never by anybody else.
    ended: JoinHandle<io::Result<ExitStatus>>,
}

impl RunningCargo {
    pub(super) fn start(mut command: Command) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        // Rustc and build scripts are in its group too.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = reaper::spawn(&mut command)?;
        let (group, pid) = (ProcessGroup::of(&child), child.id());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let ended = tokio::spawn(async move {
            let status = child.wait().await;
            if let Some(pid) = pid {
                reaper::reaped(pid);
            }
            status
        });
        Ok((Self { group, ended }, stdout, stderr))
    }

    /// Waits until cargo itself has ended, and ends what it has left behind.
    pub(super) async fn ended(mut self) -> io::Result<ExitStatus> {
        let status = (&mut self.ended).await.map_err(io::Error::other)?;
        self.group.end();
        status
    }
}
