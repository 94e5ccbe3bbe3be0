//! No process of a module outlives its host: a short part of what `tests/kills/run` does a thousand times.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use ixt_tests::{build, is_running, needs, workspace};
use rustix::process::{Pid, Signal, kill_process};

/// Runs `tests/kills/run`.
fn kills(args: &[&str]) {
    needs("python3");
    let embedder = build("embedder");
    let mut command = Command::new("python3");
    command.arg(workspace().join("tests/kills/run")).args(args).arg("--programs").arg(embedder.parent().unwrap());
    let output = command.output().unwrap();
    if output.status.code() == Some(77) {
        // What the script does is tested in ixt-host as well.
        return eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    }
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn nothing_is_left_of_a_host_that_was_killed() {
    kills(&["--kills", "2"]);
}

#[test]
fn nothing_is_left_of_one_whose_guard_is_a_script() {
    for shell in ["dash", "bash"] {
        kills(&["--kills", "1", "--guard", shell]);
    }
}

#[test]
fn nothing_is_left_of_a_host_that_was_stopped() {
    kills(&["--kills", "2", "--stop"]);
}

#[test]
fn a_guard_that_ends_is_replaced() {
    needs("python3");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("host.toml");
    fs::write(&config, "[shutdown]\ngrace = \"200ms\"\nexit_grace = \"200ms\"\n").unwrap();
    let mark = format!("guard-{}", std::process::id());
    let mut host = Command::new(build("ixt"))
        .arg("run")
        .arg(workspace().join("tests/kills"))
        .args(["--ephemeral", "--host"])
        .arg(dir.path().join("host/h"))
        .arg("--config")
        .arg(&config)
        .env("IXT_TEST_MARK", &mark)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(host.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut logged = |text: &str| assert!(log.any(|line| line.contains(text)), "no `{text}` in the log");
    logged("is ready");
    let guard = || {
        let children = fs::read_dir(format!("/proc/{}/task", host.id())).unwrap().flatten();
        let children = children.flat_map(|task| {
            let listed = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            listed.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        });
        let is_guard = |pid: &String| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|arg| arg == b"guard"))
        };
        children.filter(is_guard).find_map(|pid| Pid::from_raw(pid.parse().ok()?))
    };
    for _ in 0..2 {
        kill_process(guard().expect("there is one"), Signal::KILL).unwrap();
        logged("the guard has ended");
        while guard().is_none() {
            std::thread::yield_now();
        }
    }
    kill_process(Pid::from_child(&host), Signal::KILL).unwrap();
    host.wait().unwrap();
    let mark = format!("IXT_TEST_MARK={mark}");
    while is_running(&mark) {
        std::thread::yield_now();
    }
}
