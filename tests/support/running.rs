//! `ixt run` as a process, with its control socket and its modules in a temporary directory. The modules are actors (`tests/actor`), unless
//! a test writes others. A host in the test's own process is in `hosts`.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{build, is_running, target_dir, workspace};

/// A process of `ixt run`. Dropped, it is killed, and its directory is removed.
pub struct Running {
    /// Its directory. The modules are in `modules`, the control socket is `host/h`.
    pub dir: tempfile::TempDir,
    /// The process.
    pub ixt: Child,
    /// The lines of its stdout, which is the log. `None` if it is no pipe, or after a test has taken it.
    pub log: Option<Lines<BufReader<ChildStdout>>>,
    /// The lines of its stderr. `None` if it is no pipe, or after a test has taken it.
    pub notes: Option<Lines<BufReader<ChildStderr>>>,
}

/// A temporary directory with actors in `modules`: for each a name, and the rest of its manifest. Builds the programs.
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

/// Writes the manifest of an actor into `modules/NAME` of `dir`, in place of an earlier one. `rest` comes behind `[artifacts.process]`: it
/// may begin with keys of that table.
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

/// The command `ixt` with these arguments, and the environment to find the host of this directory. It is not started. It runs in the
/// workspace's root, and offline.
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

/// The command `ixt run` for the modules in this directory, with these further arguments. It is not started. Keys and values are in memory,
/// unless `args` has `--data-dir`.
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
    /// Starts `ixt run` with pipes for stdout and stderr, and does not wait for the host: wait for a line with [`logged`](Self::logged) or
    /// [`noted`](Self::noted).
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

    /// Waits for a line of the log whose message contains this text, from the last line that was read on, and returns it. Blocks without a
    /// limit.
    ///
    /// # Panics
    ///
    /// If the log ends without one, or is not JSON.
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

    /// Waits for a line of its stderr that contains this text, from the last line that was read on, and returns it. Blocks without a limit.
    ///
    /// # Panics
    ///
    /// If stderr ends without one.
    pub fn noted(&mut self, text: &str) -> String {
        let notes = self.notes.as_mut().expect("stderr is read here");
        notes.map(Result::unwrap).find(|line| line.contains(text)).unwrap_or_else(|| panic!("stderr has no `{text}`"))
    }

    /// Runs `ixt` with these arguments for this host, waits for its end, and returns its status and output.
    ///
    /// # Panics
    ///
    /// If it can't be started.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        ixt(self.dir.path(), args).output().unwrap()
    }

    /// Like [`run`](Self::run), for a command that has to succeed. Returns its stdout.
    ///
    /// # Panics
    ///
    /// If it does not succeed.
    #[expect(clippy::must_use_candidate, reason = "often it matters only that it is done")]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Like [`run`](Self::run), for a command that has to print nothing to stdout, as one that fails. Returns its exit status, which is not
    /// checked, and its stderr.
    ///
    /// # Panics
    ///
    /// If it prints anything to stdout, was killed by a signal, or can't be started.
    #[must_use]
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(output.stdout.is_empty(), "{args:?} prints {}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Ends it with `ixt stop`, and waits. Returns its exit status, or `None` if it was killed by a signal.
    ///
    /// # Panics
    ///
    /// If `ixt stop` fails.
    pub fn stop(&mut self) -> Option<i32> {
        self.ok(&["stop"]);
        // The rest of the log is read, so that the pipe never fills.
        if let Some(log) = &mut self.log {
            log.for_each(drop);
        }
        self.ends()
    }

    /// Sends it a signal, and does not wait.
    ///
    /// # Panics
    ///
    /// If it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.ixt), signal).unwrap();
    }

    /// Waits for its end, without a limit. Returns its exit status, or `None` if it was killed by a signal.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn ends(&mut self) -> Option<i32> {
        self.ixt.wait().unwrap().code()
    }

    /// Whether it, or any process that it has started, still runs. Processes of modules have the mark only if their manifest passes it on,
    /// as that of an actor does.
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
