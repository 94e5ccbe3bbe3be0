//! Who has started whom, by Linux's `/proc`.

use std::{fs, io};

use rustix::io::Errno;

/// A process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// Its process group, by the number of the process for which that was made.
    pub(crate) group: u32,
}

/// A chain that is longer was read while numbers were given anew.
const MAX_ANCESTORS: usize = 10_000;
/// What it means that a process can't be seen.
const UNSEEN: [Errno; 4] = [Errno::NOENT, Errno::SRCH, Errno::PERM, Errno::ACCESS];

/// A process, its parent, and so on, as far as they can be seen: that which has ended can't, nor can another user's, where
/// `/proc` is mounted so.
pub(crate) fn ancestry(pid: u32) -> io::Result<Vec<ProcessStat>> {
    let mut chain = Vec::new();
    let mut next = pid;
    while next != 0 && chain.len() < MAX_ANCESTORS {
        let process = match fs::read_to_string(format!("/proc/{next}/stat")) {
            Ok(stat) => parse(next, &stat),
            Err(error) if Errno::from_io_error(&error).is_some_and(|errno| UNSEEN.contains(&errno)) => None,
            // Such as that there are no more files: it says nothing of the process.
            Err(error) => return Err(error),
        };
        let Some(process) = process else { break };
        next = process.parent;
        chain.push(process);
    }
    Ok(chain)
}

/// Whether a process is this one, or was started by it, or by one that was. The parent of what was left behind is another
/// one; it is known by its group, where it has not left that too.
pub(crate) fn descends_from(pid: u32, started: u32) -> bool {
    let is_kin = |process: &ProcessStat| process.pid == started || process.group == started;
    // Where there is no `/proc`, this much is known.
    pid == started || ancestry(pid).is_ok_and(|chain| chain.iter().any(is_kin))
}

/// Whether any of this can be known here. Asked without opening a file: a host that has none left still has its `/proc`.
pub(crate) fn is_available() -> bool {
    fs::symlink_metadata("/proc/self/stat").is_ok()
}

/// Which process it is, for people.
pub(crate) fn describe(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// `PID (NAME) STATE PARENT GROUP …`; the name is the process's own choice, and may hold anything.
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

    /// A shell that has started another process, which waits for its stdin, and says its number.
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
        // What runs beside a shell has no stdin of its own, unless it is given one.
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
        // The one in between ends, so that its child gets another parent.
        let (mut shell, orphan) = shell("exec 3<&0; ((read -r end) <&3 & echo $!); read -r end");
        let parent = shell.id();
        assert!(descends_from(orphan, parent));
        assert!(!descends_from(process::id(), parent));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
