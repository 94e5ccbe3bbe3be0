//! The guard: a small process beside each host. If the host is killed, the guard ends the processes that the host has
//! started.
//!
//! It reads messages from a pipe, its stdin. When the pipe closes, because the host has ended, it waits for the
//! processes that are left, sends SIGTERM and then SIGKILL, and removes the host's sockets. The guard is [`run`] in a
//! program that [`Settings::guard`](crate::Settings::guard) names, or else a shell script that does the same, with
//! three exceptions: it leaves the control socket (the next host with the same path removes it); it sends SIGTERM only
//! to process groups and to processes with the host's id in their environment; and a process id may be reused between
//! its look at the process and its signal. If the guard ends before its host, the host starts another one.

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

use crate::logs::Logs;
use crate::processes::reaper;
use crate::program::Program;

pub use program::run;

/// The guard of a host without [`Settings::guard`](crate::Settings::guard). Its arguments are the two graces, in tenths
/// of a second, rounded up.
const SCRIPT: &str = include_str!("script.sh");

/// How many bytes an empty pipe surely takes, even if no process reads it.
const PIPE_BYTES: usize = 4096;

/// How long the guard has to take a message. A guard that has not by then is killed and replaced.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a guard that has ended is replaced. A guard that can't be started is tried again after ten times
/// this.
const PAUSE: Duration = Duration::from_millis(100);

/// A message to the guard: a line of text on the pipe. The guard collects them, and acts only when the pipe closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuardMessage {
    /// The host has started the process group with this id.
    Group(i32),
    /// No process of the group is left: the guard forgets it, since its id may be reused.
    Ended(i32),
    /// The host's random id: `IXT_HOST_ID` in the environment of each process of a module.
    Host(String),
    /// The directory of the host's sockets for modules.
    Sockets(PathBuf),
    /// The directory of the cgroup of all processes of modules.
    Cgroup(PathBuf),
    /// The absolute path of the control socket, which the guard removes. The script ignores this message.
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
    /// Parses a line, without its line end. `None` for anything but a message, such as an unknown first word or a group
    /// that is no number; the guard ignores that.
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

/// The host's end of the pipe to its guard; clones are cheap. The guard begins its work when the last clone is dropped
/// or the host's process ends. A [`Loader`](crate::Loader) gets one with its request, to pass it to
/// [`Builds::guarded_by`](crate::Builds::guarded_by), so that a build is ended too if the host is killed.
#[derive(Debug, Clone)]
pub struct Guard(mpsc::UnboundedSender<GuardMessage>);

/// The command that starts a guard.
struct GuardCommand {
    /// `None`: the shell script.
    program: Option<Program>,
    shutdown_grace: Duration,
    exit_grace: Duration,
}

impl GuardCommand {
    /// Starts a guard with these messages in its pipe. The first 4 KiB of them are there before it starts, so that it
    /// knows them even if the host ends at this moment.
    fn start(&self, messages: &[u8]) -> io::Result<(Child, Sender)> {
        let (stdin, mut pipe) = io::pipe()?;
        let (first, rest) = messages.split_at(messages.len().min(PIPE_BYTES));
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
            // So that signals of the host's terminal, such as by Ctrl-C, do not reach the guard.
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = reaper::spawn(&mut command)?;
        // Closes the guard's end of the pipe in this process.
        drop(command);
        // The guard reads by now. If it has ended, the caller notices that.
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
    /// Starts the guard, and a task that replaces it when it ends before the last clone of this is dropped. `program`
    /// is that of [`Settings::guard`](crate::Settings::guard); `None`: the script. `graces` are the shutdown grace and
    /// the exit grace, `entries` the first messages. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the first guard can't be started. If a later one can't, that is logged, and it is tried again each second.
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

    /// A guard whose messages a test receives.
    #[cfg(test)]
    pub(crate) fn recording() -> (Self, mpsc::UnboundedReceiver<GuardMessage>) {
        let (sender, lines) = mpsc::unbounded_channel();
        (Self(sender), lines)
    }

    /// Sends a message to the guard, and to each guard that replaces it. Never waits. The message is lost if the host's
    /// runtime has ended.
    pub(crate) fn tell(&self, entry: GuardMessage) {
        let _ = self.0.send(entry);
    }

    /// Sends the guard a process group that was started.
    pub(crate) fn add(&self, group: Pid) {
        self.tell(GuardMessage::Group(group.as_raw_nonzero().get()));
    }

    /// Tells the guard that no process of a group is left.
    pub(crate) fn remove(&self, group: Pid) {
        self.tell(GuardMessage::Ended(group.as_raw_nonzero().get()));
    }
}

/// The task that runs a guard, passes on the messages, and replaces the guard when it ends, until all senders are
/// dropped. `first` is the guard that runs; `others` are the messages that every guard gets, without process groups.
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
        let messages = || {
            let groups: Vec<_> = groups.iter().copied().map(GuardMessage::Group).collect();
            text(others.iter().chain(&groups))
        };
        let (mut child, mut pipe) = match started.take().map_or_else(|| plan.start(&messages()), Ok) {
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
                    // An error means that the guard has ended, which `wait` notices.
                    let line = entry.to_string();
                    if timeout(PATIENCE, pipe.write_all(line.as_bytes())).await.is_err() {
                        // It does not read, so it is replaced.
                        let _ = child.start_kill();
                    }
                }
                status = child.wait() => break Some(status),
            }
        };
        drop(pipe);
        let Some(status) = ended else {
            // The host has ended all its processes, so the guard finds none and ends soon.
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
    fn the_guard_reads_each_message_that_the_host_writes() {
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

    /// Tests with each shell: a process that ignores signals, one that has left its group, and a socket.
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
                // When it has written this, it is in its own session.
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
