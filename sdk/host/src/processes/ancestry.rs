//! Which process descends from which, by Linux's `/proc/PID/stat`. It goes from a process to its parents; `descendants`
//! goes the other way.

use std::{fs, io};

use rustix::io::Errno;

/// What is read from `/proc/PID/stat` about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: u32,
    /// The process id of its parent; 0 if it has none that can be seen.
    pub(crate) parent: u32,
    /// The id of its process group.
    pub(crate) group: u32,
}

/// How many processes of a chain of parents are read at most. A longer chain can only come from process ids that were
/// reused meanwhile.
const MAX_ANCESTORS: usize = 10_000;
/// The errors of a process that can't be seen: it has ended, or belongs to another user.
const UNSEEN: [Errno; 4] = [Errno::NOENT, Errno::SRCH, Errno::PERM, Errno::ACCESS];

/// The process with this id first, then its parent, the parent's parent and so on, until one that can't be seen; at
/// most [`MAX_ANCESTORS`]. Empty if the process itself can't be seen: it has ended, or `/proc` hides other users'
/// processes; and for the id 0.
///
/// # Errors
///
/// If `/proc` can't be read for a reason that has nothing to do with the process, such as that no more files can be
/// opened.
pub(crate) fn ancestry(pid: u32) -> io::Result<Vec<ProcessStat>> {
    let mut chain = Vec::new();
    let mut next = pid;
    while next != 0 && chain.len() < MAX_ANCESTORS {
        let process = match fs::read_to_string(format!("/proc/{next}/stat")) {
            Ok(stat) => parse(next, &stat),
            Err(error) if Errno::from_io_error(&error).is_some_and(|errno| UNSEEN.contains(&errno)) => None,
            Err(error) => return Err(error),
        };
        let Some(process) = process else { break };
        next = process.parent;
        chain.push(process);
    }
    Ok(chain)
}

/// Whether the process `pid` is `started`, descends from it, or it or an ancestor of it is in the process group
/// `started`. The group counts because a process whose parent has ended gets another parent. If `/proc` shows nothing
/// of `pid`, this is only true if both are the same.
pub(crate) fn descends_from(pid: u32, started: u32) -> bool {
    let is_kin = |process: &ProcessStat| process.pid == started || process.group == started;
    // The first comparison works without `/proc`.
    pid == started || ancestry(pid).is_ok_and(|chain| chain.iter().any(is_kin))
}

/// Whether `/proc` is mounted, so that [`ancestry`] can work. Opens no file, so that it works in a host that can open
/// no more.
pub(crate) fn is_available() -> bool {
    fs::symlink_metadata("/proc/self/stat").is_ok()
}

/// The process in words, for messages: `process 7 (NAME)`, or without the name if that can't be read, as of a process
/// that has ended. The process chooses its name, which may contain anything.
pub(crate) fn describe(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// Parses `PID (NAME) STATE PARENT GROUP …`; `None` if it has another form. The process chooses its name, which may
/// contain anything, also brackets.
fn parse(pid: u32, stat: &str) -> Option<ProcessStat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let mut number = || fields.next()?.parse().ok();
    Some(ProcessStat { pid, parent: number()?, group: number()? })
}

#[cfg(test)]
mod tests {
    use std::process::{self, Child, Command, Stdio};

    use super::*;

    #[test]
    fn a_name_can_not_pretend_to_be_another_field() {
        let process = parse(7, "7 (a) R 1 1 (b) S 12 13 14 0 -1").unwrap();
        assert_eq!((process.parent, process.group), (12, 13));
        assert_eq!(parse(7, "7 (a) R"), None);
        assert_eq!(parse(7, ""), None);
    }

    /// Starts a shell whose script starts another process and writes its id. That process ends with the shell's stdin.
    /// Returns the shell and the id.
    fn shell(script: &str) -> (Child, u32) {
        use std::io::{BufRead as _, BufReader};
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        (shell, line.trim().parse().unwrap())
    }

    #[test]
    fn what_a_process_has_started_is_of_it_and_not_the_other_way_round() {
        let me = process::id();
        // A background process of a shell has no stdin unless it is given one.
        let (mut shell, child) = shell("exec 3<&0; (read -r end) <&3 & echo $!; wait");
        let parent = shell.id();
        assert!(descends_from(child, parent) && descends_from(child, me) && descends_from(parent, parent));
        assert!(!descends_from(parent, child) && !descends_from(me, parent));
        assert!(ancestry(child).unwrap().iter().any(|process| process.pid == me));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!descends_from(parent, me), "it is gone, and nothing is known of it");
    }

    #[test]
    fn what_is_left_behind_is_known_by_its_group() {
        // The process in between ends, so that its child gets another parent.
        let (mut shell, orphan) = shell("exec 3<&0; ((read -r end) <&3 & echo $!); read -r end");
        let parent = shell.id();
        assert!(descends_from(orphan, parent));
        assert!(!descends_from(process::id(), parent));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
