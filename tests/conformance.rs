//! `ixt conformance`: modules in three languages pass, and wrong ones fail with what is wrong.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
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

/// Its exit status, and what it prints.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = conformance(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What is printed of a module that answers one request at a time, without ids.
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

/// Both know how a host is left that hangs up or sends SIGTERM.
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
         came:     it closed its connection: it exited with status 0\n         see:      PROTOCOL.md, \"A life\"\n",
        "FAILED   the service `without-id`\n         expected: every reply has the `id` of its request, or none has one\n",
        "         came:     {\"data\":{\"id\":\"none\"},\"type\":\"success\"}\n",
        "FAILED   the service `too-long`\n",
        "over the limit of 16777216",
        "ok       the service `orphan`\n",
    ] {
        assert!(stdout.contains(says), "{says}: {stdout}");
    }
}

/// A module that is right unless it is told to be wrong in one way. Its replies have ids.
const MODULE: &str = r#"
import json, os, socket, sys, time
wrong = sys.argv[1]
if wrong == "exits":
    print("no licence", file=sys.stderr)
    sys.exit(7)
if wrong == "deaf":
    time.sleep(1000)
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["IXT_IPC_SOCKET"])
def send(frame):
    connection.sendall(json.dumps(frame).encode() + b"\n")
def answer(frame):
    kind, message = frame["type"], frame.get("message")
    if kind == "health_check":
        data = {"healthy": "yes" if wrong == "health" else True}
        if wrong == "readiness":
            data["ready"] = "no"
        return {"type": "success", "data": data}
    if kind in ("init", "shutdown"):
        return {"type": "success", "data": {"ixt": {"protocol": "one"}} if wrong == "about" else {}}
    if kind not in ("handle", "event"):
        return {"type": "error", "code": "UNIMPLEMENTED", "message": kind}
    if not isinstance(message, dict) or "topic" not in message or "!" in message.get("payload", "!"):
        return {"type": "error", "code": "INVALID_INPUT", "message": "no message"}
    if message["topic"] != "give" or kind == "event":
        return {"type": "error", "code": "unknown topic" if wrong == "code" else "UNKNOWN_TOPIC", "message": "?"}
    if wrong == "calls":
        send({"type": "service_request", "service": "message_bus", "method": "send", "params": {}})
        next(lines)
    if wrong == "error":
        return {"type": "error", "code": "NO"}
    payload = message["payload"]
    if wrong == "bytes":
        payload = payload.replace("/", "_")
    return {"type": "success", "data": [payload] if wrong == "data" else {"it": payload}}
lines = connection.makefile("rb")
initialized = False
limit = 16 << 20
for line in lines:
    if len(line) - 1 > limit:
        continue
    try:
        frame = json.loads(line)
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str) or "id" not in frame:
            raise ValueError
        if type(frame["id"]) is not int or frame["id"] < 0:
            raise ValueError
    except ValueError:
        if wrong == "garbage":
            send({"type": "error", "id": 0, "code": "INVALID_INPUT", "message": "what?"})
        if wrong == "dies":
            raise
        continue
    kind = frame["type"]
    if kind in ("service_response", "cancel") and not (wrong == "cancel" and kind == "cancel"):
        continue
    if wrong == "silent" or wrong == "forgets" and kind == "no_such_type":
        continue
    reply = answer(frame)
    if kind != "init" and not initialized and wrong != "early" or kind == "init" and initialized:
        reply = {"type": "error", "code": "FAILED_PRECONDITION", "message": kind}
    if kind == "init" and not initialized and "starting" in frame["protocol"]["features"]:
        send({"type": "starting", "message": "begins", "extend_ms": "1" if wrong == "extends" else 1})
        send({"type": "ready", "ready": True})
    if kind == "init":
        initialized = True
        limit = frame["protocol"]["max_frame_bytes"]
    reply["id"] = frame["id"]
    if wrong == "id" and kind == "handle":
        reply["id"] += 1
    if wrong == "double" and reply["id"] > 1000:
        reply["id"] = int(float(reply["id"]))
    if wrong == "unnumbered" and kind == "health_check":
        del reply["id"]
    send(reply)
    if wrong == "twice" and kind == "handle":
        send(reply)
    if wrong == "late":
        send({"type": "starting", "extend_ms": 1})
    if wrong == "chats":
        send({"type": "log", "level": "info", "message": "hello"})
    if kind == "shutdown":
        connection.shutdown(socket.SHUT_RDWR)
        if wrong == "child" and os.fork() == 0:
            time.sleep(1000)
        sys.exit(3 if wrong == "status" else 0)
if wrong == "stays":
    time.sleep(1000)
"#;

/// The module above, with its manifest, in a directory of its own.
struct Wrong(tempfile::TempDir);

impl Wrong {
    fn new() -> Self {
        needs("python3");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("module.py"), MODULE).unwrap();
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"wrong\"\nversion = \"1.0.0\"\n\
                        [provides]\nservices = [\"give\"]\n";
        fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The arguments for a module that is wrong in this way. It runs in the manifest's directory.
    fn args(&self, timeout: &str, wrong: &str, only: &[&str]) -> Vec<String> {
        let manifest = self.path().join("manifest.toml").display().to_string();
        let mut args = vec!["--timeout", timeout, "--echo", "give", "--manifest", &manifest];
        args.extend(only.iter().flat_map(|check| ["--only", check]));
        args.extend(["--", "python3", "module.py", wrong]);
        args.into_iter().map(str::to_owned).collect()
    }

    fn run(&self, timeout: &str, wrong: &str, only: &[&str]) -> (i32, String, String) {
        let args = self.args(timeout, wrong, only);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Each in a thread of its own, four at a time: most of their time they wait.
fn in_parallel<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    for some in cases.chunks(4) {
        std::thread::scope(|scope| some.iter().for_each(|case| drop(scope.spawn(|| check(case)))));
    }
}

#[test]
fn a_module_is_told_where_it_is_wrong() {
    let module = Wrong::new();
    let (status, stdout, _) = module.run("60s", "nowhere", &[]);
    assert!(status == 0 && stdout.ends_with("\n\n25 ok, 0 failed, 5 skipped\n"), "{stdout}");
    // How it is wrong, which check finds it, and what that says.
    let service = "the service `give`";
    // Starting Python takes longest, and each does so by itself.
    let found = [
        ("exits", "connects to its host", "came:     it exited with status 7\n"),
        ("about", "init", "`data.ixt.protocol` that is 1, or none"),
        ("unnumbered", "init", "every reply has the `id` of its request, or none has one"),
        ("chats", "init", "`log` only where `init` offers it"),
        ("late", "init", "`starting` only before the reply to `init`"),
        ("extends", "init", "`starting` with `message`, which is text, and `extend_ms`, an unsigned integer"),
        ("readiness", "health_check", "`data.ready` that is true or false, or none"),
        ("health", "health_check", "`success` with `data.healthy`, which is true or false"),
        ("cancel", "a cancel of what is not known", "\"code\":\"UNIMPLEMENTED\",\"id\":1000000"),
        ("garbage", "what is no frame", "such as hello, and answers the next one"),
        ("dies", "what is no frame", "came:     it closed its connection: it exited with status 1\n"),
        ("early", "a request before init", "an `error` with the code FAILED_PRECONDITION"),
        ("status", "shutdown", "came:     it exited with status 3\n"),
        ("double", "ids of 64 bits", "an `id` that is an unsigned integer, or none"),
        ("calls", service, "`service_request` with `id`, an unsigned integer"),
        ("code", "a topic that it does not provide", "`code`, which is an upper-case word"),
        ("data", service, "`success` with `data`, which is an object"),
        ("error", service, "`error` with `message`, which is text"),
        ("id", service, "one reply to each request, and now that to the request 2"),
        ("twice", service, "came:     {\"data\":{\"it\":\"\"},\"id\":2,\"type\":\"success\"}"),
        ("bytes", "a payload of all bytes", "the payload of 256 bytes, in base64 (--echo)"),
    ];
    in_parallel(&found, |(wrong, check, says)| {
        let only = if ["init", "connects to its host"].contains(check) { &[][..] } else { &[*check][..] };
        let (status, stdout, stderr) = module.run("60s", wrong, only);
        assert_eq!((status, stderr.as_str()), (1, ""), "{wrong}: {stdout}");
        assert!(stdout.contains(&format!("FAILED   {check}\n")), "{wrong}: {stdout}");
        assert!(stdout.contains(says), "{wrong}: {says}: {stdout}");
    });
    // The others are right.
    let (_, stdout, _) = module.run("60s", "garbage", &["frame", "cancel", "request"]);
    assert_eq!(stdout.matches("FAILED").count(), 1, "{stdout}");
}

#[test]
fn a_module_that_does_not_answer_is_not_waited_for_for_ever() {
    let module = Wrong::new();
    let silent = [
        ("deaf", "connects to its host", "came:     no connection within 3s"),
        ("silent", "init", "came:     nothing within 3s"),
        ("forgets", "a request of an unknown type", "came:     nothing within 3s"),
        ("stays", "the host hangs up", "came:     it still ran after 3s"),
    ];
    in_parallel(&silent, |(wrong, check, says)| {
        let (status, stdout, stderr) = module.run("3s", wrong, &["unknown type", "hangs up"]);
        assert_eq!((status, stderr.as_str()), (1, ""), "{wrong}: {stdout}");
        assert!(stdout.contains(&format!("FAILED   {check}\n")) && stdout.contains(says), "{wrong}: {stdout}");
    });
}

#[test]
fn what_failed_is_shown_with_the_modules_log_and_the_rest_is_left_out() {
    let (status, stdout, _) = Wrong::new().run("60s", "exits", &[]);
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

#[test]
fn nothing_is_left_running() {
    let module = Wrong::new();
    // The process has ended, but not what it has started.
    let mark = format!("{}-child", std::process::id());
    let args = module.args("60s", "child", &["shutdown"]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let output = conformance(&args).env("IXT_TEST_MARK", &mark).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!is_running(&format!("IXT_TEST_MARK={mark}")));

    for (signal, name, status) in [(Signal::INT, "int", 130), (Signal::TERM, "term", 143)] {
        let mark = format!("{}-{name}", std::process::id());
        let args = module.args("600s", "forgets", &["ids", "unknown type"]);
        let mut ixt = conformance(&args.iter().map(String::as_str).collect::<Vec<_>>())
            .env("IXT_TEST_MARK", &mark)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(ixt.stdout.take().unwrap()).lines();
        assert!(stdout.any(|line| line.unwrap() == "ok       ids of 64 bits"), "the next request is not answered");
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
