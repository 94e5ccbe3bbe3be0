//! `ixt run` as a process, with its control socket and its modules in a temporary directory.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{build, is_running, target_dir, workspace};

/// `ixt run`. Dropped, it is killed.
pub struct Running {
    /// Its directory; the modules are in `modules`.
    pub dir: tempfile::TempDir,
    /// The process.
    pub ixt: Child,
    /// Its stdout, until a test takes it.
    pub log: Option<Lines<BufReader<ChildStdout>>>,
    /// Its stderr.
    pub notes: Option<Lines<BufReader<ChildStderr>>>,
}

/// A directory with actors: for each a name, and the rest of its manifest.
///
/// # Panics
///
/// If there is no place for them.
#[must_use]
pub fn actors(modules: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, rest) in modules {
        fs::create_dir_all(dir.path().join("modules").join(name)).unwrap();
        actor(dir.path(), name, rest);
    }
    dir
}

/// Writes the manifest of an actor.
///
/// # Panics
///
/// If its directory is not there.
pub fn actor(dir: &Path, name: &str, rest: &str) {
    let manifest = format!(
        "schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n[artifacts.process]\npath = '{}'\n{rest}\n\
         [env]\npass = [\"IXT_TEST_MARK\"]\n",
        build("actor").display(),
    );
    fs::write(dir.join("modules").join(name).join("manifest.toml"), manifest).unwrap();
}

/// `ixt` with these arguments, and the environment to find the host of this directory.
#[must_use]
pub fn ixt(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(build("ixt"));
    command.args(args).current_dir(workspace()).env("IXT_HOST", dir.join("host/h")).env("IXT_TEST_MARK", mark(dir));
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target_dir());
    command
}

/// A variable in the environment of a host and of all processes that it starts.
fn mark(dir: &Path) -> String {
    format!("mark-{}", dir.display())
}

/// `ixt run` of the modules in this directory. Keys and values are in memory, unless `args` has `--data-dir`.
#[must_use]
pub fn ixt_run(dir: &Path, args: &[&str]) -> Command {
    let mut command = ixt(dir, &["run"]);
    if !args.contains(&"--data-dir") {
        command.arg("--ephemeral");
    }
    command.arg(dir.join("modules")).args(args);
    command
}

impl Running {
    /// Starts `ixt run`.
    #[must_use]
    pub fn start(dir: tempfile::TempDir, args: &[&str]) -> Self {
        let command = ixt_run(dir.path(), args);
        Self::spawn(dir, command)
    }

    /// Starts this command, with pipes for stdout and stderr.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    #[must_use]
    pub fn spawn(dir: tempfile::TempDir, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn_as_it_is(dir, command)
    }

    /// Starts this command, with the stdout and stderr that it has.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    #[must_use]
    pub fn spawn_as_it_is(dir: tempfile::TempDir, mut command: Command) -> Self {
        let mut ixt = command.spawn().unwrap();
        let notes = ixt.stderr.take().map(|notes| BufReader::new(notes).lines());
        let log = ixt.stdout.take().map(|log| BufReader::new(log).lines());
        Self { dir, ixt, log, notes }
    }

    /// Waits for a line of the log that contains this text, and returns it.
    ///
    /// # Panics
    ///
    /// If it ends without one.
    pub fn logged(&mut self, text: &str) -> Value {
        let log = self.log.as_mut().expect("the log is read here");
        loop {
            let line = log.next().unwrap_or_else(|| panic!("the log has no `{text}`")).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"].as_str().unwrap_or_default().contains(text) {
                return line;
            }
        }
    }

    /// Waits for a line of its stderr that contains this text, and returns it.
    ///
    /// # Panics
    ///
    /// If it ends without one.
    pub fn noted(&mut self, text: &str) -> String {
        let notes = self.notes.as_mut().expect("stderr is read here");
        notes.map(Result::unwrap).find(|line| line.contains(text)).unwrap_or_else(|| panic!("stderr has no `{text}`"))
    }

    /// Runs a command for this host, and returns its output.
    ///
    /// # Panics
    ///
    /// If it can't be started.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        ixt(self.dir.path(), args).output().unwrap()
    }

    /// Runs a command for this host, which has to succeed. Returns its stdout.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[expect(clippy::must_use_candidate, reason = "often it matters only that it is done")]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command for this host, which has to fail and to print nothing to stdout. Returns its exit status and its stderr.
    ///
    /// # Panics
    ///
    /// If it prints anything, or can't be started.
    #[must_use]
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(output.stdout.is_empty(), "{args:?} prints {}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Ends it with `ixt stop`; returns its exit status, or `None` if it was killed by a signal.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn stop(&mut self) -> Option<i32> {
        self.ok(&["stop"]);
        // The rest of the log is read, so that the pipe never fills.
        if let Some(log) = &mut self.log {
            log.for_each(drop);
        }
        self.ends()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.ixt), signal).unwrap();
    }

    /// Waits for its end; returns its exit status, or `None` if it was killed by a signal.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn ends(&mut self) -> Option<i32> {
        self.ixt.wait().unwrap().code()
    }

    /// Whether it, or anything that it has started, still runs.
    #[must_use]
    pub fn is_there(&self) -> bool {
        is_running(&format!("IXT_TEST_MARK={}\0", mark(self.dir.path())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.ixt.kill();
        let _ = self.ixt.wait();
    }
}
