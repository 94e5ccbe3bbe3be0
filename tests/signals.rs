//! Signals to `ixt run`: those that end it, those that make it reload its modules, and those to a process that hangs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, PipeReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ixt_tests::{Running, actor, actors, ixt, ixt_run, needs};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

const A: &str = "[provides]\nservices = [\"a\"]";
const B: &str = "[provides]\nservices = [\"b\"]";

/// A command that starts `program` with `args`, which then executes `command`.
fn by(program: &str, args: &[&str], command: &Command) -> Command {
    needs(program);
    let mut by = Command::new(program);
    by.args(args).arg(command.get_program()).args(command.get_args());
    by.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        by.current_dir(dir);
    }
    by
}

/// Waits until a repeated signal counts as a new one. Until 0.1 s after the first it counts as the same.
fn later() {
    thread::sleep(Duration::from_millis(150));
}

/// A host's file with short graces, for a module that does not end when it should.
fn short_graces(dir: &tempfile::TempDir) -> String {
    let config = dir.path().join("host.toml");
    fs::write(&config, "[shutdown]\ngrace = \"300ms\"\nexit_grace = \"300ms\"\n").unwrap();
    config.to_str().unwrap().to_owned()
}

#[test]
fn a_terminal_that_is_closed_ends_it_in_order() {
    let dir = actors(&[("a", A)]);
    let config = short_graces(&dir);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let stdin = File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes())).unwrap();
    // Stdout and stderr are pipes, as to `tee`.
    let mut command = by("setsid", &["--ctty"], &ixt_run(dir.path(), &["--config", &config]));
    command.stdin(stdin);
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    // The end takes its time.
    let mut call = ixt(running.dir.path(), &["call", "a", r#"{"do":"wait","for":"ever"}"#]).spawn().unwrap();
    running.logged("waits for ever");
    drop(terminal);
    running.noted("the modules finish what they have begun");
    // The shell sends a signal too, and so does the program that ends the session.
    running.signal(Signal::HUP);
    running.signal(Signal::TERM);
    running.logged("is shut down with 1 requests that it has not replied to within 300ms");
    running.logged("has ended");
    assert_eq!(running.ends(), Some(0));
    assert!(!call.wait().unwrap().success());
    assert!(!running.is_there());
}

#[test]
fn without_a_terminal_hangup_replaces_what_has_changed() {
    let dir = actors(&[("a", A), ("b", B), ("c", "")]);
    let command = by("setsid", &[], &ixt_run(dir.path(), &[]));
    let mut running = Running::spawn(dir, command);
    for _ in 0..3 {
        running.logged("is ready");
    }
    actor(running.dir.path(), "a", "[provides]\nservices = [\"a\", \"a.new\"]");
    running.signal(Signal::HUP);
    running.logged("SIGHUP: replaces the modules that have changed");
    // One that comes meanwhile is not lost.
    actor(running.dir.path(), "b", "[provides]\nservices = [\"b.new\"]");
    running.signal(Signal::HUP);
    assert_eq!(running.logged("the service `a.new` is new")["module"], "a");
    let breaks = running.logged("breaks callers");
    assert_eq!((&breaks["module"], &breaks["level"]), (&"b".into(), &"warn".into()));
    running.logged(" replaced, ");
    for topic in ["a", "a.new", "b.new"] {
        running.ok(&["call", topic, r#"{"do":"tell"}"#]);
    }
    // Each was replaced once, and the one that has not changed goes on.
    let ready = running.ok(&["ps"]);
    for (name, number) in [("a", 2), ("b", 2), ("c", 1)] {
        assert!(ready.contains(&format!("{name}:1.0.0/instance-00{number}  ready")), "{ready}");
    }
    // What is wrong is told, and changes nothing.
    fs::write(running.dir.path().join("modules/a/manifest.toml"), "[module").unwrap();
    running.signal(Signal::HUP);
    let wrong = running.logged("`a` is not restarted, and goes on as it was");
    assert_eq!((&wrong["module"], &wrong["level"], &wrong["origin"]), (&"a".into(), &"error".into(), &"host".into()));
    running.logged("SIGHUP: 0 replaced, 2 unchanged, 1 failed");
    running.ok(&["call", "a.new", r#"{"do":"tell"}"#]);
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(0));
}

#[test]
fn what_nohup_has_started_does_not_care() {
    let dir = actors(&[("a", A)]);
    let mut command = by("nohup", &[], &ixt_run(dir.path(), &[]));
    command.stdin(Stdio::null());
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    running.signal(Signal::HUP);
    running.ok(&["call", "a", r#"{"do":"tell"}"#]);
    running.signal(Signal::TERM);
    let log: Vec<_> = running.log.take().unwrap().map(Result::unwrap).collect();
    assert!(!log.iter().any(|line| line.contains("SIGHUP")), "{log:?}");
    assert_eq!(running.ends(), Some(0));
}

/// The process ids of its modules.
fn pids(running: &Running) -> Vec<Pid> {
    let status: Value = serde_json::from_str(&running.ok(&["ps", "--json"])).unwrap();
    let modules = status["modules"].as_array().unwrap().iter();
    let instances = modules.flat_map(|module| module["instances"].as_array().unwrap());
    instances.map(|instance| Pid::from_raw(instance["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()).collect()
}

#[test]
fn the_second_signal_kills_what_has_not_ended() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut running = Running::start(actors(&[("a", A)]), &[]);
        running.logged("is ready");
        let mut call = ixt(running.dir.path(), &["call", "a", r#"{"do":"wait","for":"ever"}"#]).spawn().unwrap();
        running.logged("waits for ever");
        running.signal(signal);
        running.noted("the modules finish what they have begun");
        later();
        running.signal(signal);
        assert_eq!(running.ends(), Some(status));
        assert!(!call.wait().unwrap().success());
        assert!(!running.is_there());
    }
}

#[test]
fn what_timeout_ends_ends_in_order_although_it_is_told_twice() {
    let dir = actors(&[("a", A)]);
    let config = short_graces(&dir);
    let mut command = by("timeout", &["--preserve-status", "1h"], &ixt_run(dir.path(), &["--config", &config]));
    command.stdin(Stdio::null());
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    let mut call = ixt(running.dir.path(), &["call", "a", r#"{"do":"wait","for":"ever"}"#]).spawn().unwrap();
    running.logged("waits for ever");
    // It passes the signal on, to the process and to its group.
    running.signal(Signal::TERM);
    running.logged("has ended");
    assert_eq!(running.ends(), Some(0));
    assert!(!call.wait().unwrap().success());
}

/// A pipe that is full, and that is not read.
fn stuck_pipe() -> (PipeReader, io::PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'\n'; size]).unwrap();
    (reader, writer)
}

#[test]
fn the_second_signal_ends_it_although_nobody_reads_what_it_says() {
    let dir = actors(&[("a", A)]);
    let (_nobody, stuck) = stuck_pipe();
    let mut command = ixt_run(dir.path(), &[]);
    // As with a terminal that stands still, which is both.
    command.stdout(stuck.try_clone().unwrap()).stderr(stuck);
    let mut running = Running::spawn_as_it_is(dir, command);
    while !running.run(&["call", "a", r#"{"do":"tell"}"#]).status.success() {
        thread::yield_now();
    }
    let module = pids(&running)[0];
    running.signal(Signal::TERM);
    while Path::new(&format!("/proc/{}", module.as_raw_nonzero())).exists() {
        thread::yield_now();
    }
    later();
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(143));
    assert!(!running.is_there());
}

#[test]
fn the_second_signal_ends_it_although_nobody_reads_its_last_words() {
    let dir = actors(&[("a", A)]);
    let (_nobody, stuck) = stuck_pipe();
    let mut command = ixt_run(dir.path(), &[]);
    command.stdout(Stdio::piped()).stderr(stuck);
    let mut running = Running::spawn_as_it_is(dir, command);
    running.logged("is ready");
    // So that there is something to say.
    running.ok(&["call", "a", r#"{"do":"touch","file":"die"}"#]);
    running.signal(Signal::TERM);
    running.logged("the module did not shut down well");
    later();
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(143));
    assert!(!running.is_there());
}

#[test]
fn the_second_signal_ends_it_although_its_file_takes_nothing_any_more() {
    let dir = actors(&[("a", A)]);
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    // A pipe in the place of the file stands still, as a disk may.
    let file = logs.join("ixt.jsonl");
    needs("mkfifo");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    // It is not read, although its reading end is open here.
    let mut stuck = File::options().read(true).write(true).open(&file).unwrap();
    let size = rustix::pipe::fcntl_getpipe_size(&stuck).unwrap();
    stuck.write_all(&vec![b'\n'; size]).unwrap();
    let mut running = Running::start(dir, &["--log-dir", logs.to_str().unwrap()]);
    running.logged("is ready");
    running.signal(Signal::TERM);
    running.logged("has ended");
    later();
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(143));
    assert!(!running.is_there());
}

#[test]
fn who_stood_still_with_its_modules_ends_none_of_them_for_it() {
    let dir = actors(&[("a", A)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, "[health]\ninterval = \"1ms\"\ntimeout = \"1s\"\nfailures = 1\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    let module = pids(&running)[0];
    // First the module, which is asked how it is while another process is started here, and does not answer.
    kill_process(module, Signal::STOP).unwrap();
    running.ok(&["ps"]);
    running.signal(Signal::STOP);
    // What is tested is that time passes: more than it has for a health check.
    thread::sleep(Duration::from_millis(1500));
    running.signal(Signal::CONT);
    kill_process(module, Signal::CONT).unwrap();
    let told = running.logged("this host stood still for about");
    assert_eq!(told["level"], "warn");
    running.ok(&["call", "a", r#"{"do":"tell"}"#]);
    assert_eq!(pids(&running), [module]);
    // A module that stands still alone is ended for it.
    kill_process(module, Signal::STOP).unwrap();
    running.logged("it was ended: it has not answered a health check within 1s");
    running.signal(Signal::TERM);
    assert_eq!(running.ends(), Some(0));
}

/// A function that returns a wrapper, which makes a command the first process of a namespace. `None` if this machine does not allow that.
fn namespace() -> Option<impl Fn() -> Command> {
    needs("unshare");
    let plain = ["--pid", "--fork", "--mount-proc", "--kill-child"].as_slice();
    let of_user = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"].as_slice();
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(args);
        command
    };
    let works = |args: &&[&str]| unshare(args).arg("true").stderr(Stdio::null()).status().unwrap().success();
    let args = [plain, of_user].into_iter().find(works)?;
    Some(move || unshare(args))
}

/// The children of a process.
fn children(pid: u32) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    listed
        .flat_map(|pids| pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .filter_map(Pid::from_raw)
        .collect()
}

#[test]
fn as_the_first_process_of_a_container_it_hears_signals_and_leaves_nothing() {
    let Some(in_namespace) = namespace() else {
        return eprintln!("skipped: this machine makes no process namespace for this user (`unshare --pid`)");
    };
    for (signals, status) in [(&[Signal::TERM][..], 0), (&[Signal::INT], 0), (&[Signal::TERM, Signal::TERM], 143)] {
        let dir = actors(&[("a", A)]);
        let mut command = in_namespace();
        let run = ixt_run(dir.path(), &[]);
        command.arg("setsid").arg(run.get_program()).args(run.get_args());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut running = Running::spawn(dir, command);
        running.logged("is ready");
        let [host] = children(running.ixt.id())[..] else { panic!("unshare has one child") };
        // What has no meaning for it, and would end others, and a reload.
        kill_process(host, Signal::USR1).unwrap();
        kill_process(host, Signal::HUP).unwrap();
        running.logged("SIGHUP: 0 replaced, 1 unchanged, 0 failed");
        // What has lost its parent is given to the first process, which reaps it.
        running.ok(&["call", "a", r#"{"do":"run","args":["/bin/sh","-c","(exit 3 &) ; (true &)"]}"#]);
        let is_zombie = |pid: &Pid| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
        };
        while children(host.as_raw_nonzero().get().unsigned_abs()).iter().any(is_zombie) {
            thread::yield_now();
        }
        if let [first, second] = signals {
            let mut call = ixt(running.dir.path(), &["call", "a", r#"{"do":"wait","for":"ever"}"#]).spawn().unwrap();
            running.logged("waits for ever");
            kill_process(host, *first).unwrap();
            running.noted("the modules finish what they have begun");
            later();
            kill_process(host, *second).unwrap();
            assert!(!call.wait().unwrap().success());
        } else {
            kill_process(host, signals[0]).unwrap();
            running.logged("has ended");
        }
        assert_eq!(running.ends(), Some(status));
        assert!(!running.is_there());
    }
}
