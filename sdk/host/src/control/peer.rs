//! Who is at the other end of a connection to the control socket. What descends from a module may do what that module
//! may do over its own socket, so that nothing is gained by asking here; everybody else of this user may do everything.

use std::sync::Arc;
use std::{io, process};

use crate::control::ControlCommand;
use crate::module_router::ModuleRouter;
use crate::permissions::{may_call, may_publish};
use crate::processes::ancestry::{ProcessStat, ancestry, describe, is_available};
use crate::release::Release;
use crate::replica::Replica;

/// How many times to look at a process's parents until they are stable.
const ATTEMPTS: usize = 5;

/// The process at the other end.
pub(super) enum ControlPeer {
    /// A process that was not started by this host: a person's, or a script's.
    Operator,
    /// A process of a module, or one that descends from it. With the release that the module's process was started
    /// from.
    Module(Arc<Release>),
    /// A process that this host has started, or may have started since it has ended already, but that belongs to no
    /// module that runs.
    Orphan(u32),
}

impl ControlPeer {
    /// Who the process with this id is, in a host with these modules. Without an id (a process of another pid
    /// namespace) it is an operator: processes that this host has started can all be seen from here.
    pub(super) fn of(pid: Option<i32>, modules: &[Arc<ModuleRouter>]) -> Self {
        let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0) else {
            return Self::Operator;
        };
        let Ok(chain) = settled(pid) else { return Self::Orphan(pid) };
        let replicas = modules.iter().flat_map(|router| router.replicas());
        let is_of = |replica: &Arc<Replica>| {
            let started = replica.lock().pid;
            started
                .is_some_and(|started| chain.iter().any(|process| process.pid == started || process.group == started))
        };
        if let Some(replica) = { replicas }.find(is_of) {
            return Self::Module(Arc::clone(replica.release()));
        }
        // The host's own process may talk to itself: it embeds the host.
        let is_started_here = chain.iter().any(|process| process.parent == process::id());
        // Without a `/proc`, nobody can be told apart.
        let is_gone = chain.is_empty() && is_available();
        if is_started_here || is_gone { Self::Orphan(pid) } else { Self::Operator }
    }

    /// The name under which it calls and publishes: the module's. `None` for the host's own name.
    pub(super) fn source(&self) -> Option<Arc<str>> {
        match self {
            Self::Module(release) => Some(Arc::clone(release.source())),
            Self::Operator | Self::Orphan(_) => None,
        }
    }

    /// Whether it may make this request. The error is a sentence with the reason.
    pub(super) fn may(&self, command: &ControlCommand) -> Result<(), String> {
        let release = match self {
            Self::Operator => return Ok(()),
            Self::Module(release) => release,
            Self::Orphan(pid) => {
                return Err(format!(
                    "{} may not ask this host for anything: this host has started it, or it is gone, and it belongs to no module \
                     that runs",
                    describe(*pid)
                ));
            }
        };
        let (name, manifest) = (release.deployment().name(), release.manifest());
        let what = match command {
            ControlCommand::Call { topic, .. } => return may_call(manifest, topic),
            ControlCommand::Publish { topic, .. } => return may_publish(manifest, topic),
            ControlCommand::KvGet { module, .. }
            | ControlCommand::KvSet { module, .. }
            | ControlCommand::KvDelete { module, .. }
            | ControlCommand::KvList { module, .. }
            | ControlCommand::KvWatch { module, .. } => {
                if module == name {
                    return Ok(());
                }
                return Err(format!("`{name}` may not use the keys and values of `{module}`: it has its own alone"));
            }
            ControlCommand::Status => "ask how the host and its modules are",
            ControlCommand::Logs(_) => "read the log",
            ControlCommand::KvBackup { .. } => "copy the keys and values of all modules",
            ControlCommand::Restart { .. } => "restart a module",
            ControlCommand::Stop { module: Some(_) } => "stop a module",
            ControlCommand::Stop { module: None } => "stop the host",
        };
        Err(format!(
            "`{name}` may not {what}: this process was started by it, and modules may do here what they may do over their own \
             socket"
        ))
    }
}

/// The process and its parents, as they are seen twice in a row: when a parent ends, its child gets another one.
fn settled(pid: u32) -> io::Result<Vec<ProcessStat>> {
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

    fn of(pid: u32) -> ControlPeer {
        ControlPeer::of(pid.try_into().ok(), &[])
    }

    #[test]
    fn what_comes_of_the_host_and_of_no_module_may_do_nothing() {
        let mut child = process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(matches!(of(child.id()), ControlPeer::Orphan(pid) if pid == child.id()));
        let refused = of(child.id()).may(&ControlCommand::Status).unwrap_err();
        assert!(refused.starts_with(&format!("process {} (", child.id())), "{refused}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(matches!(of(child.id()), ControlPeer::Orphan(_)), "it is gone, and could have been anyone's");
    }

    #[test]
    fn who_does_not_come_of_the_host_may_do_everything() {
        // The process that embeds a host, the one that started it, and one without a process id here.
        for peer in [of(process::id()), of(std::os::unix::process::parent_id()), of(0), ControlPeer::of(None, &[])] {
            assert!(matches!(peer, ControlPeer::Operator));
            peer.may(&ControlCommand::Stop { module: None }).unwrap();
        }
    }
}
