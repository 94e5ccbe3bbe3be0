//! The guard: one small process beside each host, which ends what the host has started when the host could not. It reads from a pipe
//! what there is, and when the pipe closes, because the host has ended in whatever way, it waits for what is left, sends SIGTERM,
//! and then SIGKILL. It is [`run`], in a program that the host is told, or else a script of the system's shell, which does
//! the same. When it ends before its host, another one is started.

mod program;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ixt_protocol::LogLevel;
use rustix::process::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::Program;
use crate::logs::Logs;
use crate::processes::reaper;

pub use program::run;

const SCRIPT: &str = include_str!("script.sh");

/// A pipe takes so much before anybody reads.
const PIPE_BYTES: usize = 4096;

/// How long it has to read a line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited before another one is started.
const PAUSE: Duration = Duration::from_millis(100);

/// A line for the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuardMessage {
    /// There is this process group.
    Group(i32),
    /// It has ended.
    Ended(i32),
    /// The host's random number, which all that it starts has in its environment.
    Host(String),
    /// The directory of its sockets for modules.
    Sockets(PathBuf),
    /// The cgroup of all that it starts.
    Cgroup(PathBuf),
    /// Its control socket.
    Control(PathBuf),
}

impl fmt::Display for GuardMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => writeln!(f, "group {group}"),
            Self::Ended(group) => writeln!(f, "ended {group}"),
            Self::Host(id) => writeln!(f, "host {id}"),
            Self::Sockets(dir) => writeln!(f, "sockets {}", dir.display()),
            Self::Cgroup(dir) => writeln!(f, "cgroup {}", dir.display()),
            Self::Control(socket) => writeln!(f, "control {}", socket.display()),
        }
    }
}

impl GuardMessage {
    /// `None` if it is of another version.
    fn read(line: &str) -> Option<Self> {
        let (what, value) = line.split_once(' ')?;
        Some(match what {
            "group" => Self::Group(value.parse().ok()?),
            "ended" => Self::Ended(value.parse().ok()?),
            "host" => Self::Host(value.to_owned()),
            "sockets" => Self::Sockets(value.into()),
            "cgroup" => Self::Cgroup(value.into()),
            "control" => Self::Control(value.into()),
            _ => return None,
        })
    }
}

/// The host's end of the pipe to its guard: what it is told of is ended if the host can't do that. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(mpsc::UnboundedSender<GuardMessage>);

/// How the guard is started.
struct GuardCommand {
    program: Option<Program>,
    shutdown_grace: Duration,
    exit_grace: Duration,
}

impl GuardCommand {
    /// Starts it, with what there is: it knows that from its beginning, should the host end in this moment.
    fn start(&self, there: &[u8]) -> io::Result<(Child, Sender)> {
        let (stdin, mut pipe) = io::pipe()?;
        let (first, rest) = there.split_at(there.len().min(PIPE_BYTES));
        pipe.write_all(first)?;
        let mut command = match &self.program {
            Some(program) => {
                let mut command = Command::new(program.path());
                command.args(program.args()).args([self.shutdown_grace, self.exit_grace].map(millis));
                command
            }
            None => {
                let mut command = Command::new("/bin/sh");
                let tenths = |duration: Duration| duration.as_millis().div_ceil(100).to_string();
                let graces = [self.shutdown_grace, self.exit_grace].map(tenths);
                command.args(["-c", SCRIPT, "ixt-guard"]).args(graces);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            // What is pressed in the host's terminal is not for it.
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = reaper::spawn(&mut command)?;
        // With its end of the pipe.
        drop(command);
        // It reads; if it does not any more, that is seen by its end.
        let _ = pipe.write_all(rest);
        Ok((child, Sender::from_owned_fd(pipe.into())?))
    }
}

fn text<'a>(entries: impl Iterator<Item = &'a GuardMessage>) -> Vec<u8> {
    entries.map(ToString::to_string).collect::<String>().into_bytes()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

impl Guard {
    /// Starts the guard, and another one whenever it ends before this does.
    pub(crate) fn start(
        program: Option<Program>,
        graces: [Duration; 2],
        entries: Vec<GuardMessage>,
        logs: Logs,
    ) -> io::Result<Self> {
        let [shutdown_grace, exit_grace] = graces;
        let plan = GuardCommand { program, shutdown_grace, exit_grace };
        let first = plan.start(&text(entries.iter()))?;
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(keep(plan, first, entries, lines, logs));
        Ok(Self(sender))
    }

    /// A guard of which a test sees what it is told.
    #[cfg(test)]
    pub(crate) fn recording() -> (Self, mpsc::UnboundedReceiver<GuardMessage>) {
        let (sender, lines) = mpsc::unbounded_channel();
        (Self(sender), lines)
    }

    pub(crate) fn tell(&self, entry: GuardMessage) {
        let _ = self.0.send(entry);
    }

    /// There is this process group.
    pub(crate) fn add(&self, group: Pid) {
        self.tell(GuardMessage::Group(group.as_raw_nonzero().get()));
    }

    /// It has ended.
    pub(crate) fn remove(&self, group: Pid) {
        self.tell(GuardMessage::Ended(group.as_raw_nonzero().get()));
    }
}

/// Tells the guard what there is, until nobody has anything to tell any more.
async fn keep(
    plan: GuardCommand,
    first: (Child, Sender),
    mut others: Vec<GuardMessage>,
    mut lines: mpsc::UnboundedReceiver<GuardMessage>,
    logs: Logs,
) {
    let mut groups = BTreeSet::new();
    let mut started = Some(first);
    loop {
        let there = || {
            let groups: Vec<_> = groups.iter().copied().map(GuardMessage::Group).collect();
            text(others.iter().chain(&groups))
        };
        let (mut child, mut pipe) = match started.take().map_or_else(|| plan.start(&there()), Ok) {
            Ok(started) => started,
            Err(error) => {
                let message = format!("the guard can't be started again, and is tried again: {error}");
                logs.host(LogLevel::Error, "host", message);
                sleep(10 * PAUSE).await;
                continue;
            }
        };
        let pid = child.id();
        let ended = loop {
            tokio::select! {
                entry = lines.recv() => {
                    let Some(entry) = entry else { break None };
                    match &entry {
                        GuardMessage::Group(group) => drop(groups.insert(*group)),
                        GuardMessage::Ended(group) => drop(groups.remove(group)),
                        other => others.push(other.clone()),
                    }
                    // If it is gone, that is seen below.
                    let line = entry.to_string();
                    if timeout(PATIENCE, pipe.write_all(line.as_bytes())).await.is_err() {
                        // It does not read: another one will.
                        let _ = child.start_kill();
                    }
                }
                status = child.wait() => break Some(status),
            }
        };
        drop(pipe);
        let Some(status) = ended else {
            // The host has ended what it had: the guard finds nothing left.
            let _ = child.wait().await;
            return pid.into_iter().for_each(reaper::reaped);
        };
        pid.into_iter().for_each(reaper::reaped);
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        logs.host(LogLevel::Warn, "host", format!("the guard has ended ({how}): another one is started"));
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command as StdCommand;

    use super::*;
    use crate::processes::descendants::HOST_ID;

    #[test]
    fn what_is_written_for_the_guard_is_read_by_it() {
        for entry in [
            GuardMessage::Group(12),
            GuardMessage::Ended(12),
            GuardMessage::Host("0af".to_owned()),
            GuardMessage::Sockets("/tmp/a dir".into()),
            GuardMessage::Cgroup("/sys/fs/cgroup/a".into()),
            GuardMessage::Control("/run/h".into()),
        ] {
            assert_eq!(GuardMessage::read(entry.to_string().trim_end()), Some(entry));
        }
        assert_eq!(GuardMessage::read("dance 5"), None);
        assert_eq!(GuardMessage::read(""), None);
    }

    /// A module that hangs and heeds nothing, one that has left its group, and a socket: whichever shell the system has.
    #[test]
    fn the_script_ends_what_is_left_in_every_shell() {
        for shell in ["dash", "bash", "sh"] {
            let dir = tempfile::tempdir().unwrap();
            let sockets = dir.path().join("sockets");
            std::fs::create_dir(&sockets).unwrap();
            drop(std::os::unix::net::UnixListener::bind(sockets.join("1")).unwrap());
            std::fs::write(sockets.join("lock"), "").unwrap();
            let id = format!("{:032x}", fastrand::u128(..));
            let hang = "trap '' TERM HUP INT; echo; while :; do sleep 1; done";
            let start = |command: &mut StdCommand| {
                let mut child = command.args(["sh", "-c", hang]).stdout(Stdio::piped()).spawn().unwrap();
                // It has its session when it has told so.
                io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
                child
            };
            let mut group = start(&mut StdCommand::new("setsid"));
            let mut marked = start(StdCommand::new("setsid").env(HOST_ID, &id));
            let mut guard = StdCommand::new(shell)
                .args(["-c", SCRIPT, "ixt-guard", "1", "1"])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut pipe = guard.stdin.take().unwrap();
            let pid = i32::try_from(group.id()).unwrap();
            for entry in [
                GuardMessage::Group(1 << 22),
                GuardMessage::Group(pid),
                GuardMessage::Ended(1 << 22),
                GuardMessage::Host(id),
                GuardMessage::Sockets(sockets.clone()),
            ] {
                io::Write::write_all(&mut pipe, entry.to_string().as_bytes()).unwrap();
            }
            drop(pipe);
            assert!(guard.wait().unwrap().success(), "{shell}");
            assert!(!group.wait().unwrap().success() && !marked.wait().unwrap().success(), "{shell}");
            assert!(!sockets.exists(), "{shell}");
        }
    }
}
