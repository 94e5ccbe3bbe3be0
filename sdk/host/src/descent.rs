//! Who has started whom, by Linux's `/proc`.

use std::fs;
use std::iter::successors;

/// A process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kin {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// Its process group, by the number of the process for which that was made.
    pub(crate) group: u32,
}

/// A chain that is longer was read while numbers were given anew.
const MAX_ANCESTORS: usize = 10_000;

/// A process, its parent, and so on. Empty if there is no such process any more.
pub(crate) fn ancestry(pid: u32) -> impl Iterator<Item = Kin> {
    successors(kin(pid), |child| kin(child.parent)).take(MAX_ANCESTORS)
}

/// Whether a process is this one, or was started by it, or by one that was. The parent of what was left behind is another
/// one; it is known by its group, where it has not left that too.
pub(crate) fn is_of(pid: u32, started: u32) -> bool {
    // Where there is no `/proc`, this much is known.
    pid == started || ancestry(pid).any(|kin| kin.pid == started || kin.group == started)
}

/// Which process it is, for people.
pub(crate) fn describe(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

fn kin(pid: u32) -> Option<Kin> {
    if pid == 0 {
        return None;
    }
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `PID (NAME) STATE PARENT GROUP …`; the name is the process's own choice, and may hold anything.
fn parse(pid: u32, stat: &str) -> Option<Kin> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let mut number = || fields.next()?.parse().ok();
    Some(Kin { pid, parent: number()?, group: number()? })
}

#[cfg(test)]
mod tests {
    use std::process::{self, Child, Command, Stdio};

    use super::*;

    #[test]
    fn a_name_can_not_pretend_to_be_another_field() {
        let kin = parse(7, "7 (a) R 1 1 (b) S 12 13 14 0 -1").unwrap();
        assert_eq!((kin.parent, kin.group), (12, 13));
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
        assert!(is_of(child, parent) && is_of(child, me) && is_of(parent, parent));
        assert!(!is_of(parent, child) && !is_of(me, parent));
        assert!(ancestry(child).any(|kin| kin.pid == me));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!is_of(parent, me), "it is gone, and nothing is known of it");
    }

    #[test]
    fn what_is_left_behind_is_known_by_its_group() {
        // The one in between ends, so that its child gets another parent.
        let (mut shell, orphan) = shell("exec 3<&0; ((read -r end) <&3 & echo $!); read -r end");
        let parent = shell.id();
        assert!(is_of(orphan, parent));
        assert!(!is_of(process::id(), parent));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
