//! The process at the other end of a connection to the control socket, and what it may do. A process that descends from
//! a module may do what that module may do over its own socket, so that it gains nothing here. A process that this host
//! has started, or that has ended, may do nothing if it belongs to no module that runs. All other processes of this
//! user may do everything.

use std::sync::Arc;
use std::{io, process};

use crate::control::ControlCommand;
use crate::module_router::ModuleRouter;
use crate::permissions::{may_call, may_publish};
use crate::processes::ancestry::{ProcessStat, ancestry, describe, is_available};
use crate::release::Release;
use crate::replica::Replica;

/// How often to look at a process's parents at most, until two looks in a row agree.
const ATTEMPTS: usize = 5;

/// The process at the other end of a connection.
pub(super) enum ControlPeer {
    /// A process that this host has not started, such as a command of a person or a script.
    Operator,
    /// A process of a module, or a descendant of one, with the release from which the module's process was started.
    Module(Arc<Release>),
    /// The id of a process that descends from this host, but from no module that runs; or of one of which nothing can
    /// be seen, which could be such a process: it has ended, or `/proc` can't be read now.
    Orphan(u32),
}

impl ControlPeer {
    /// Finds out which of these the process with this id is, for a host with these modules. Without an id, or with 0,
    /// it is a process of another pid namespace, and so an operator: processes that this host has started have an id
    /// here.
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
        // The host's own process, which embeds the host, is not in its own chain as a child, so it is an operator.
        let is_started_here = chain.iter().any(|process| process.parent == process::id());
        // Without a `/proc`, all chains are empty, and each process is an operator.
        let is_gone = chain.is_empty() && is_available();
        if is_started_here || is_gone { Self::Orphan(pid) } else { Self::Operator }
    }

    /// The `name:version` under which the process calls and publishes: its module's. `None`: the host's own.
    pub(super) fn source(&self) -> Option<Arc<str>> {
        match self {
            Self::Module(release) => Some(Arc::clone(release.source())),
            Self::Operator | Self::Orphan(_) => None,
        }
    }

    /// Checks that the process may make this request. The error is a sentence with the reason, which the client gets
    /// with the code `PERMISSION_DENIED`.
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

/// The process and its parents, once two looks in a row have agreed, or as the last of [`ATTEMPTS`] looks has found
/// them: when a parent ends, its child gets another one.
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
    fn a_descendant_of_the_host_but_of_no_module_may_do_nothing() {
        let mut child = process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(matches!(of(child.id()), ControlPeer::Orphan(pid) if pid == child.id()));
        let refused = of(child.id()).may(&ControlCommand::Status).unwrap_err();
        assert!(refused.starts_with(&format!("process {} (", child.id())), "{refused}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(matches!(of(child.id()), ControlPeer::Orphan(_)), "it has ended, and could have been a module's");
    }

    #[test]
    fn a_process_that_does_not_descend_from_the_host_may_do_everything() {
        // The process that embeds the host, its parent, and processes without an id here.
        for peer in [of(process::id()), of(std::os::unix::process::parent_id()), of(0), ControlPeer::of(None, &[])] {
            assert!(matches!(peer, ControlPeer::Operator));
            peer.may(&ControlCommand::Stop { module: None }).unwrap();
        }
    }
}
