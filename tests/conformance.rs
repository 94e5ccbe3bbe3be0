//! `ixt conformance`: modules in three languages pass, and the report on a wrong module says what is wrong. That each check finds its
//! mistake is tested in `sdk/cli/src/conformance/tests.rs`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use ixt_tests::{build, is_running, needs, workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// `ixt conformance` in the workspace's root.
fn conformance(args: &[&str]) -> Command {
    static IXT: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(IXT.get_or_init(|| build("ixt")));
    command.arg("conformance").args(args).current_dir(workspace());
    command
}

/// Its exit status, stdout and stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = conformance(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The report on a module that answers one request at a time, without ids.
const SEQUENTIAL: &str = "\
ok       connects to its host
ok       init (it answers without ids, so it gets one request at a time)
ok       the service `LANG.config`
ok       the service `LANG.echo`
ok       the service `LANG.kv` (it answered INVALID_INPUT)
ok       the service `LANG.log`
ok       the service `LANG.relay` (it answered INVALID_INPUT)
ok       requests that the module makes itself (logging.log: answered UNIMPLEMENTED)
ok       health_check
ok       a topic that it does not provide
ok       an event (it answered UNKNOWN_TOPIC)
skipped  ids of 64 bits: it answers without ids
skipped  many requests at once: it answers without ids, so it gets one request at a time
ok       a request of an unknown type
ok       requests of the wrong shape
ok       a cancel of what is not known
ok       priorities and ttl_ms
ok       a payload of all bytes (`LANG.echo` gives it back)
ok       frames in pieces
ok       JSON with escapes and white space
ok       fields that are not known
ok       what is no frame
ok       a frame of 13 MiB (`LANG.echo` gives it back)
ok       a frame over the limit
skipped  framing `length` from the start: it takes only `line`
skipped  framing `length` once it was offered: it stays with `line`
skipped  attachments: it stays with `line`
skipped  a request before init: it answers without ids
ok       a second init
skipped  another version of the protocol: it does not say in its reply to `init` which version it speaks
ok       shutdown
";

/// The last lines of the report on a module that ends when the host hangs up or sends SIGTERM.
const END: &str = "\
ok       the host hangs up
ok       SIGTERM

";

fn passes_sequentially(language: &str) {
    let manifest = format!("tests/polyglot/{language}/manifest.toml");
    // What is started stands in the manifest.
    let (status, stdout, stderr) =
        run(&["--timeout", "60s", "--manifest", &manifest, "--echo", &format!("{language}.echo")]);
    // Whether it is gone before it can refuse is a matter of time.
    let stdout: String = stdout.split_inclusive('\n').filter(|line| !line.contains("after shutdown")).collect();
    let expected = format!("{SEQUENTIAL}{END}27 ok, 0 failed, 7 skipped\n").replace("LANG", language);
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, expected.as_str(), ""));
}

#[test]
fn a_module_in_python_passes() {
    needs("python3");
    passes_sequentially("python");
}

#[test]
fn a_module_in_node_passes() {
    needs("node");
    passes_sequentially("node");
}

#[test]
fn a_module_with_the_sdk_passes_everything() {
    let program = build("pair").display().to_string();
    let manifest = "tests/polyglot/rust/manifest.toml";
    let args = ["--timeout", "60s", "--manifest", manifest, "--echo", "rust.echo", "--", &program];
    let (status, stdout, stderr) = run(&args);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.ends_with("\n\n33 ok, 0 failed, 1 skipped\n"), "{stdout}");
    for line in [
        "ok       init (it answers with ids, and handles 256 requests at once)",
        "ok       many requests at once",
        "ok       framing `length` from the start",
        "ok       framing `length` once it was offered",
        "ok       attachments (`rust.echo` gives it back)",
        "ok       a request before init",
    ] {
        assert!(stdout.lines().any(|printed| printed == line), "{line}: {stdout}");
    }
}

#[test]
fn a_check_that_is_made_alone_calls_the_service_that_the_full_run_calls() {
    let program = build("pair").display().to_string();
    let args = ["--timeout", "60s", "-m", "tests/polyglot/rust/manifest.toml", "--only", "all bytes", "--", &program];
    let (status, stdout, _) = run(&args);
    let line = "ok       a payload of all bytes (`rust.config` answers; --echo checks the bytes too)";
    assert!(status == 0 && stdout.ends_with(&format!("{line}\n\n3 ok, 0 failed, 0 skipped\n")), "{stdout}");
}

#[test]
fn services_may_be_left_out_and_the_configuration_set() {
    let program = build("fixture").display().to_string();
    let mut args = vec!["--timeout", "60s", "--json", "-c", "token=t", "-m", "tests/fixture/manifest.toml"];
    // Each of these waits until its time is over.
    for topic in ["abort", "bomb", "jam.blocking", "linger"] {
        args.extend(["--skip", topic]);
    }
    args.extend(["--", &program]);
    let (status, stdout, stderr) = run(&args);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = |check: &str| lines.iter().find(|line| line["check"] == check).unwrap();
    let skipped = json!({ "check": "the service `abort`", "outcome": "skipped", "reason": "--skip" });
    assert_eq!(*found("the service `abort`"), skipped);
    let waits = json!({ "check": "the service `wait`", "outcome": "ok", "note": "it answered DEADLINE_EXCEEDED" });
    assert_eq!(*found("the service `wait`"), waits);
    let calls = "event_bus.publish, message_bus.send: answered UNIMPLEMENTED";
    assert_eq!(found("requests that the module makes itself")["note"], calls);
    let sum = lines.last().unwrap();
    assert_eq!((&sum["failed"], &sum["skipped"]), (&json!(0), &json!(4)), "{sum}");
}

#[test]
fn a_module_that_answers_anything_fails_with_what_came() {
    let program = build("fake").display().to_string();
    let (status, stdout, stderr) = run(&["--timeout", "60s", "--manifest", "tests/fake/manifest.toml", "--", &program]);
    assert_eq!((status, stderr.as_str()), (1, ""), "{stdout}");
    for says in [
        "FAILED   the service `close`\n         expected: one reply to each request, and now that to the request 2\n         \
         came:     it closed its connection: it exited with status 0\n         see:      PROTOCOL.md, \"The course of a connection\"\n",
        "FAILED   the service `without-id`\n         expected: every reply has the `id` of its request, or none has one\n",
        "         came:     {\"data\":{\"id\":\"none\"},\"type\":\"success\"}\n",
        "FAILED   the service `too-long`\n",
        "over the limit of 16777216",
        "ok       the service `orphan`\n",
    ] {
        assert!(stdout.contains(says), "{says}: {stdout}");
    }
}

#[test]
fn what_failed_is_shown_with_the_modules_log_and_the_rest_is_left_out() {
    let script = "echo no licence >&2; exit 7";
    let (status, stdout, _) = run(&["--timeout", "60s", "-m", "tests/fake/manifest.toml", "--", "sh", "-c", script]);
    let expected = "FAILED   connects to its host
         expected: the module connects to the socket in IXT_IPC_SOCKET
         came:     it exited with status 7
         see:      PROTOCOL.md, \"Transport\"
         its log:  no licence
skipped  all others: it has to start first

0 ok, 1 failed, 1 skipped
";
    assert_eq!((status, stdout.as_str()), (1, expected));
}

/// A module that connects, and then does not answer.
const SILENT: &str = r#"
import os, socket
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["IXT_IPC_SOCKET"])
while connection.recv(4096): pass
"#;

#[test]
fn nothing_is_left_running() {
    // The process has ended, but not the one that it has started.
    let mark = format!("{}-child", std::process::id());
    let fake = build("fake").display().to_string();
    let args = ["--timeout", "60s", "-m", "tests/fake/manifest.toml", "--only", "the service `orphan`", "--", &fake];
    let output = conformance(&args).env("IXT_TEST_MARK", &mark).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!is_running(&format!("IXT_TEST_MARK={mark}")));

    needs("python3");
    for (signal, name, status) in [(Signal::INT, "int", 130), (Signal::TERM, "term", 143)] {
        let mark = format!("{}-{name}", std::process::id());
        let args = ["--timeout", "600s", "-m", "tests/fake/manifest.toml", "--", "python3", "-c", SILENT];
        let mut ixt = conformance(&args).env("IXT_TEST_MARK", &mark).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(ixt.stdout.take().unwrap()).lines();
        assert!(stdout.any(|line| line.unwrap() == "ok       connects to its host"), "`init` is not answered");
        kill_process(Pid::from_child(&ixt), signal).unwrap();
        assert_eq!(ixt.wait().unwrap().code(), Some(status));
        assert!(!is_running(&format!("IXT_TEST_MARK={mark}")));
    }
}

#[test]
fn checks_that_can_not_be_made_say_why() {
    let python = "tests/polyglot/python/manifest.toml";
    let rust = "tests/polyglot/rust/manifest.toml";
    for (args, status, says) in [
        (
            &["-m", rust][..],
            2,
            "give a command after `--`, or tests/polyglot/rust/manifest.toml an [artifacts.process]",
        ),
        (&["-m", rust, "--", "no-such-program"], 3, "error: can't start no-such-program: No such file or directory"),
        (&["-m", python, "--skip", "echo"], 2, "the module `python-pair` does not provide `echo`"),
        (
            &["-m", python, "-c", "greting=hi"],
            2,
            "`--config greting`: the module `python-pair` has no config key `greting`",
        ),
        (&["-m", "tests/fixture/manifest.toml", "--", "x"], 2, "no value for its config key `token`"),
        (&["-m", "/no/such.toml", "--", "x"], 3, "can't read `/no/such.toml`"),
        (&["-m", python, "--only", "shtdown"], 2, "no check has `shtdown` in its name; there are: requests that"),
        (&["-m", python, "--timeout", "soon"], 2, "invalid value 'soon' for '--timeout"),
        (&["--", "x"], 2, "--manifest <FILE>"),
    ] {
        let (printed, stdout, stderr) = run(args);
        assert_eq!((printed, stdout.as_str()), (status, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}
