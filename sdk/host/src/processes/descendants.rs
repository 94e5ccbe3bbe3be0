//! The descendants of a process, also those whose parent has ended. They are found by their process group, by variables
//! in their environment (the marks), and by their cgroup if there is one. A process inherits all three from its parent.
//! It can change the first two itself; it leaves the cgroup only if it may write to another one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{
    Pid, PidfdFlags, Signal, geteuid, getpid, kill_process_group, pidfd_open, pidfd_send_signal,
    test_kill_process_group,
};

use crate::processes::cgroup::Cgroup;

/// The environment variable with the host's random id, which every process of a module has; the guard and builds do not
/// have it.
pub(crate) const HOST_ID: &str = "IXT_HOST_ID";
/// The environment variable with the id of the module's process (`name:version/instance-NNN`), which each of them has
/// too.
pub(crate) const MODULE_ID: &str = "IXT_MODULE_ID";

/// How often [`Descendants::kill`] looks for processes at most: one may have forked meanwhile. What is left after that
/// stays.
const ROUNDS: usize = 20;

/// The descendants of one process of a module, or of a whole host: all processes that one of the fields describes. The
/// default describes none. The methods read `/proc` and the cgroup, and block while they do.
#[derive(Debug, Default)]
pub(crate) struct Descendants {
    /// Process groups, by their ids.
    pub(crate) groups: Vec<Pid>,
    /// `NAME=value` entries of the environment. A process is a descendant if its environment at its start had all of
    /// them; if this is empty, no process is found by it.
    pub(crate) marks: Vec<String>,
    /// The cgroup of the descendants. `None` if the host could not make one.
    pub(crate) cgroup: Option<Cgroup>,
}

/// The mark of everything that the host with this id has started.
pub(crate) fn host_mark(id: &str) -> String {
    format!("{HOST_ID}={id}")
}

impl Descendants {
    /// Whether any descendant is left. Forgets the process groups that have ended.
    pub(crate) fn any_left(&mut self) -> bool {
        // A group that has ended is not looked at again, since its id may be reused.
        self.groups.retain(|group| test_kill_process_group(*group).is_ok());
        !self.groups.is_empty() || self.cgroup.as_ref().is_some_and(Cgroup::is_populated) || !self.marked().is_empty()
    }

    /// Sends a signal to all descendants that are there now. One that can't be signalled, since it runs as another
    /// user, is left out.
    pub(crate) fn signal(&self, signal: Signal) {
        for group in &self.groups {
            // Fails if nothing is left in the group, which is fine.
            let _ = kill_process_group(*group, signal);
        }
        if let Some(cgroup) = &self.cgroup {
            // Listed again once the pidfds are open, when their ids can't be reused any more.
            let opened: Vec<_> =
                cgroup.pids().into_iter().map(|pid| (pid, pidfd_open(pid, PidfdFlags::empty()))).collect();
            let still: BTreeSet<_> = cgroup.pids().into_iter().map(Pid::as_raw_nonzero).collect();
            for process in opened.into_iter().filter(|(pid, _)| still.contains(&pid.as_raw_nonzero())) {
                let _ = process.1.and_then(|process| pidfd_send_signal(process, signal));
            }
        }
        for pid in self.marked() {
            send(pid, signal, || self.is_marked(pid));
        }
    }

    /// Kills all descendants by SIGKILL, and those that they start meanwhile. Forgets the process groups. Does not wait
    /// until they have been reaped.
    pub(crate) fn kill(&mut self) {
        for _ in 0..ROUNDS {
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
            self.signal(Signal::KILL);
            if self.marked().is_empty() && !self.cgroup.as_ref().is_some_and(Cgroup::is_populated) {
                break;
            }
        }
        // Their ids may be reused from here on.
        self.groups.clear();
    }

    /// The processes of this user with all marks in their environment; for the superuser, those of all users. Not this
    /// process.
    fn marked(&self) -> Vec<Pid> {
        if self.marks.is_empty() {
            return Vec::new();
        }
        let (own, user) = (getpid(), geteuid());
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let mine = processes.flatten().filter(|process| {
            // The modules of the superuser may have changed their user.
            user.is_root() || process.metadata().is_ok_and(|metadata| metadata.uid() == user.as_raw())
        });
        let pids = mine.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?));
        pids.filter(|pid| *pid != own && self.is_marked(*pid)).collect()
    }

    /// Whether a process has all marks in its environment. False if that can't be read: the process has ended, or is of
    /// another user.
    fn is_marked(&self, pid: Pid) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else { return false };
        let stands_there = |mark: &String| environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
        !environment.is_empty() && self.marks.iter().all(stands_there)
    }
}

/// Sends a signal to a process if `is_it` is true. `is_it` is called when the pidfd is open, so that the process id
/// can't be reused between the check and the signal.
fn send(pid: Pid, signal: Signal, is_it: impl Fn() -> bool) {
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && is_it()
    {
        let _ = pidfd_send_signal(process, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Starts a shell in a new session, and waits until its script has run. It ends with its stdin.
    fn shell(variables: &[(&str, &str)], script: &str) -> Child {
        let mut command = Command::new("setsid");
        // It starts nothing that could outlive the test.
        command.args(["sh", "-c", &format!("{script} echo; read -r end")]).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        child
    }

    #[test]
    fn what_bears_all_marks_is_found_wherever_it_has_gone_and_nothing_else_is() {
        let id = format!("{:032x}", fastrand::u128(..));
        let mark = host_mark(&id);
        let of_module = [(HOST_ID, id.as_str()), (MODULE_ID, "m:1.0.0/instance-001")];
        let mut marked = shell(&of_module, "trap '' TERM; exec 3<&0; (read -r end) <&3 &");
        let mut of_another = shell(&[(HOST_ID, &id), (MODULE_ID, "other:1.0.0/instance-001")], "");
        let mut unmarked = shell(&[(HOST_ID, "0")], "");
        let marks = vec![mark.clone(), format!("{MODULE_ID}=m:1.0.0/instance-001")];
        let mut descendants = Descendants { marks, ..Descendants::default() };
        assert!(descendants.any_left());
        descendants.signal(Signal::TERM);
        assert!(descendants.any_left(), "it does not heed that");
        descendants.kill();
        marked.wait().unwrap();
        // The process that the shell had started was killed too. It may take a moment until it is gone.
        while descendants.any_left() {
            std::thread::yield_now();
        }
        assert!(unmarked.try_wait().unwrap().is_none() && of_another.try_wait().unwrap().is_none());
        let all = Descendants { marks: vec![mark], ..Descendants::default() };
        all.signal(Signal::TERM);
        of_another.wait().unwrap();
        assert!(unmarked.try_wait().unwrap().is_none());
        unmarked.kill().unwrap();
        unmarked.wait().unwrap();
        assert!(!Descendants::default().any_left(), "without marks nothing is meant");
    }
}
