//! Processes that are measured: started, watched and ended.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::time::ClockId;
use nix::unistd::Pid;

/// How long a process may take to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// How many bytes of a failed process's stderr are reported, from its end.
const REPORTED_STDERR: u64 = 4096;

/// The path of another program of this workspace, which lies beside the running one. Fails if it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is missing: build the programs of its package first (--bins)", path.display());
    Ok(path)
}

/// A process that this one has started. It is killed when this is dropped.
///
/// Its stderr goes to a file, and is shown when the process fails, and only then.
pub struct Process {
    /// The command, for messages.
    name: String,
    child: Child,
    stderr: File,
}

impl Process {
    /// Starts the command. Its stdin and stdout are what the command says.
    pub fn start(command: &mut Command) -> Result<Self> {
        let stderr = tempfile::tempfile()?;
        let name = format!("{command:?}");
        let child = command.stderr(stderr.try_clone()?).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, stderr })
    }

    /// Starts the command with its stdin and stdout as pipes.
    pub fn start_piped(command: &mut Command) -> Result<(Self, ChildStdin, ChildStdout)> {
        let mut process = Self::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = process.child.stdin.take().context("stdin is a pipe")?;
        let stdout = process.child.stdout.take().context("stdout is a pipe")?;
        Ok((process, stdin, stdout))
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process ends by itself. Fails if it exits with a status other than 0, and kills it and fails after 20 seconds.
    pub fn wait(self) -> Result<()> {
        self.wait_for(END_TIMEOUT)
    }

    /// Does what [`wait`](Self::wait) does, with this timeout.
    pub fn wait_for(mut self, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { Err(self.explain(anyhow!("it failed"))) };
            }
            if start.elapsed() > timeout {
                return Err(self.explain(anyhow!("it has not ended after {} s", timeout.as_secs())));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Fails if the process has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            bail!(self.explain(anyhow!("it ended too early")));
        }
        Ok(())
    }

    /// Adds to an error of a conversation with this process: which process it is, whether and how it has ended, and the end of its
    /// stderr. Kills the process, whose conversation is over.
    pub fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        // What ended the conversation is often the process's end, which the system may report a moment later.
        let start = Instant::now();
        let mut status = self.child.try_wait().ok().flatten();
        while status.is_none() && start.elapsed() < Duration::from_millis(200) {
            std::thread::sleep(Duration::from_millis(1));
            status = self.child.try_wait().ok().flatten();
        }
        if status.is_none() {
            self.kill();
        }
        let end = status.map_or_else(|| "it was running, and is killed".to_owned(), |status| status.to_string());
        let stderr = match self.stderr() {
            Ok(text) if text.is_empty() => "nothing on stderr".to_owned(),
            Ok(text) => format!("stderr:\n{text}"),
            Err(error) => format!("its stderr can't be read: {error}"),
        };
        error.context(format!("{}: {end}; {stderr}", self.name))
    }

    fn stderr(&mut self) -> std::io::Result<String> {
        let length = self.stderr.seek(SeekFrom::End(0))?;
        self.stderr.seek(SeekFrom::Start(length.saturating_sub(REPORTED_STDERR)))?;
        let mut bytes = Vec::new();
        self.stderr.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn kill(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processor time that all threads of a process have used, in user space and in the kernel. Without that of its child processes.
pub fn processor_time(process: u32) -> Result<Duration> {
    let time = ClockId::pid_cpu_clock_id(Pid::from_raw(process.cast_signed())).and_then(ClockId::now);
    Ok(time.with_context(|| format!("the processor time of process {process}"))?.into())
}

/// The resident memory of a process, in kB as the kernel counts them (1,024 bytes).
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident: u64,
    /// The maximum since the process started.
    pub peak: u64,
}

/// Reads both figures from `/proc` at once.
pub fn memory(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let figure = |name: &str| -> Result<u64> {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{path}: {name}"))?;
        Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
    };
    Ok(Memory { resident: figure("VmRSS:")?, peak: figure("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_process_is_reported_with_its_stderr() {
        let process = Process::start(Command::new("sh").args(["-c", "echo no disk >&2; exit 3"])).unwrap();
        let error = format!("{:#}", process.wait().unwrap_err());
        assert!(error.contains("exit status: 3") && error.contains("no disk"), "{error}");
    }

    #[test]
    fn a_process_that_does_not_end_is_killed() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let error = format!("{:#}", process.wait_for(Duration::ZERO).unwrap_err());
        assert!(error.contains("is killed"), "{error}");
    }

    #[test]
    fn figures_of_this_process_can_be_read() {
        let memory = memory(std::process::id()).unwrap();
        assert!(0 < memory.resident && memory.resident <= memory.peak);
        assert!(processor_time(std::process::id()).unwrap() > Duration::ZERO);
    }
}
