//! Who asks at the control socket. People may do everything; what a module has started may do what the module may over its own
//! socket, so that nothing is won by asking here.

use std::sync::Arc;
use std::{io, process};

use crate::control::Command;
use crate::descent::{Kin, ancestry, describe, is_known};
use crate::module_router::ModuleRouter;
use crate::release::Release;
use crate::replica::Replica;
use crate::rights::{may_call, may_publish};

/// So often it is looked where a process comes from.
const ATTEMPTS: usize = 5;

pub(super) enum Asker {
    Person,
    /// A process of a module, which was started from this, or one that it has started.
    Module(Arc<Release>),
    /// A process that comes of this host, or may have come of it, for it is gone: of which module is not known.
    Stray(u32),
}

impl Asker {
    /// Who the process with this number is, in a host with these modules. None has a number here that can't be seen from here:
    /// of what this host has started all can.
    pub(super) fn of(pid: Option<i32>, modules: &[Arc<ModuleRouter>]) -> Self {
        let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0) else {
            return Self::Person;
        };
        let Ok(chain) = settled(pid) else { return Self::Stray(pid) };
        let replicas = modules.iter().flat_map(|router| router.replicas());
        let is_of = |replica: &Arc<Replica>| {
            let started = replica.lock().pid;
            started.is_some_and(|started| chain.iter().any(|kin| kin.pid == started || kin.group == started))
        };
        if let Some(replica) = { replicas }.find(is_of) {
            return Self::Module(Arc::clone(replica.release()));
        }
        // This process itself is one that embeds a host, and talks to it.
        let is_started_here = chain.iter().any(|kin| kin.parent == process::id());
        // Where there is no `/proc` nobody can be told from anybody.
        let is_gone = chain.is_empty() && is_known();
        if is_started_here || is_gone { Self::Stray(pid) } else { Self::Person }
    }

    /// What it is called as a caller; nothing, if it is the host's own that asks.
    pub(super) fn source(&self) -> Option<Arc<str>> {
        match self {
            Self::Module(release) => Some(Arc::clone(release.source())),
            Self::Person | Self::Stray(_) => None,
        }
    }

    /// Whether it may do this. If not, the reason.
    pub(super) fn may(&self, command: &Command) -> Result<(), String> {
        let release = match self {
            Self::Person => return Ok(()),
            Self::Module(release) => release,
            Self::Stray(pid) => {
                return Err(format!(
                    "{} may not ask this host for anything: this host has started it, or it is gone, and it belongs to no module \
                     that runs",
                    describe(*pid)
                ));
            }
        };
        let (name, manifest) = (release.deployment().name(), release.manifest());
        let what = match command {
            Command::Call { topic, .. } => return may_call(manifest, topic),
            Command::Publish { topic, .. } => return may_publish(manifest, topic),
            Command::KvGet { module, .. }
            | Command::KvSet { module, .. }
            | Command::KvDelete { module, .. }
            | Command::KvList { module, .. }
            | Command::KvWatch { module, .. } => {
                if module == name {
                    return Ok(());
                }
                return Err(format!("`{name}` may not use the keys and values of `{module}`: it has its own alone"));
            }
            Command::Status => "ask how the host and its modules are",
            Command::Logs(_) => "read the log",
            Command::KvBackup { .. } => "copy the keys and values of all modules",
            Command::Restart { .. } => "restart a module",
            Command::Stop { module: Some(_) } => "stop a module",
            Command::Stop { module: None } => "stop the host",
        };
        Err(format!(
            "`{name}` may not {what}: this process was started by it, and modules may do here what they may do over their own \
             socket"
        ))
    }
}

/// Where a process comes from, as it is seen twice in a row: if one in between has ended, its child has another parent then.
fn settled(pid: u32) -> io::Result<Vec<Kin>> {
    let mut chain = ancestry(pid)?;
    for _ in 1..ATTEMPTS {
        let again = ancestry(pid)?;
        if again == chain {
            break;
        }
        chain = again;
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn of(pid: u32) -> Asker {
        Asker::of(pid.try_into().ok(), &[])
    }

    #[test]
    fn what_comes_of_the_host_and_of_no_module_may_do_nothing() {
        let mut child = process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(matches!(of(child.id()), Asker::Stray(pid) if pid == child.id()));
        let refused = of(child.id()).may(&Command::Status).unwrap_err();
        assert!(refused.starts_with(&format!("process {} (", child.id())), "{refused}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(matches!(of(child.id()), Asker::Stray(_)), "it is gone, and could have been anyone's");
    }

    #[test]
    fn who_does_not_come_of_the_host_may_do_everything() {
        // Whoever embeds a host, whoever started it, and who is seen from here without a number.
        for asker in [of(process::id()), of(std::os::unix::process::parent_id()), of(0), Asker::of(None, &[])] {
            assert!(matches!(asker, Asker::Person));
            asker.may(&Command::Stop { module: None }).unwrap();
        }
    }
}
