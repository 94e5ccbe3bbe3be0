//! The guard: one small process beside each host, which ends the modules' processes when the host could not. It reads from a
//! pipe which process groups there are, and when the pipe closes, because the host has ended in whatever way, it waits for
//! what is left, sends SIGTERM, and then SIGKILL. It is a script of the system's shell, so that it needs no program of its
//! own and can't be taken along by whatever brought the host down.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;

/// `$1` is how many tenths of a second the modules have to finish, `$2` how many after SIGTERM. Every module ends by itself
/// when its host is gone, unless it hangs.
const SCRIPT: &str = r#"
trap '' INT TERM HUP PIPE
cd /
groups=
while read -r what group; do
    left=
    for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done
    groups=$left
    [ "$what" = + ] && groups="$groups $group"
done
alive() {
    left=
    for one in $groups; do kill -s 0 -- "-$one" 2>/dev/null && left="$left $one"; done
    groups=$left
    [ -n "$groups" ]
}
await() {
    tenths=$1
    while alive && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
}
await "$1"
for one in $groups; do kill -s TERM -- "-$one" 2>/dev/null; done
await "$2"
for one in $groups; do kill -s KILL -- "-$one" 2>/dev/null; done
"#;

/// The host's end of the pipe to the guard.
#[derive(Debug, Clone)]
pub(crate) struct Guard(mpsc::UnboundedSender<String>);

impl Guard {
    /// Starts the guard. Without a shell there is none, and no error: modules end by themselves when their host is gone.
    pub(crate) fn start(shutdown_grace: Duration, exit_grace: Duration) -> io::Result<Self> {
        let tenths = |duration: Duration| (duration.as_millis() / 100).to_string();
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "ixt-guard", &tenths(shutdown_grace), &tenths(exit_grace)])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            // What is pressed in the host's terminal is not for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (sender, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                // If the guard is gone, there is none.
                let _ = pipe.write_all(line.as_bytes()).await;
            }
            drop(pipe);
            let _ = child.wait().await;
        });
        Ok(Self(sender))
    }

    /// There is this process group.
    pub(crate) fn add(&self, group: Pid) {
        let _ = self.0.send(format!("+ {}\n", group.as_raw_nonzero()));
    }

    /// It has ended.
    pub(crate) fn remove(&self, group: Pid) {
        let _ = self.0.send(format!("- {}\n", group.as_raw_nonzero()));
    }
}
