//! `ixt run` as a service: what it reports to the service manager, the sockets that it gets from it, and when it ends by itself.

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ixt_tests::{Running, actor, actors, ixt_run, needs};
use rustix::process::Signal;
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]";
/// A timeout that is longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The manifest of a module whose `init` fails.
const BAD: &str = "[config]\non_init = { type = \"string\", default = \"exit\" }";

/// Makes `command` a wrapper that executes `run`: adds the program, arguments, environment and directory of `run`.
fn by(command: &mut Command, run: &Command) {
    command.arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(run.get_current_dir().unwrap());
}

/// A service manager: the socket that `NOTIFY_SOCKET` names.
struct Manager {
    socket: UnixDatagram,
    /// The messages that have come and that no [`Self::told`] has returned: reports at the same time may come in any order.
    messages: RefCell<Vec<String>>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, messages: RefCell::default() }
    }

    /// Waits for a message that contains this line, and returns it. Each message is returned once.
    fn told(&self, line: &str) -> String {
        let has_it = |message: &String| message.lines().any(|other| other == line);
        let mut messages = self.messages.borrow_mut();
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = messages.iter().position(has_it) {
                return messages.remove(index);
            }
            assert!(Instant::now() < patience, "`{line}` is not told; what was is {messages:?}");
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("`{line}` is not told: {error}"));
            messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
    }
}

fn variable(running: &Running, name: &str) -> Value {
    let script = json!({ "do": "variable", "name": name }).to_string();
    serde_json::from_str::<Value>(&running.ok(&["call", "a", &script])).unwrap()["value"].take()
}

#[test]
fn a_service_manager_is_told_what_the_host_does() {
    let dir = actors(&[("a", A), ("b", "")]);
    let path = dir.path().join("notify");
    let by_path = UnixDatagram::bind(&path).unwrap();
    let abstract_name = format!("ixt-test-{}", std::process::id());
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    needs("setsid");
    let first = (by_path, path.to_str().unwrap().to_owned(), dir);
    let second = (by_name, format!("@{abstract_name}"), actors(&[("a", A), ("b", "")]));
    for (socket, place, dir) in [first, second] {
        let manager = Manager::new(socket);
        let mut command = Command::new("setsid");
        by(&mut command, &ixt_run(dir.path(), &[]));
        command.env("NOTIFY_SOCKET", place).env("WATCHDOG_USEC", "100000");
        let mut running = Running::spawn(dir, command);
        manager.told("STATUS=builds 2 modules");
        manager.told("READY=1");
        assert_eq!(running.logged("is ready")["level"], "info");
        manager.told("STATUS=2 of 2 processes are ready");
        manager.told("WATCHDOG=1");
        manager.told("WATCHDOG=1");
        // A module does not speak for its host.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            assert_eq!(variable(&running, name), Value::Null, "{name}");
        }
        actor(running.dir.path(), "b", "[provides]\nservices = [\"b\"]");
        running.signal(Signal::HUP);
        let reloading = manager.told("RELOADING=1");
        let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
        manager.told("READY=1");
        running.logged("SIGHUP: 1 replaced");
        running.ok(&["stop", "b"]);
        manager.told("STATUS=1 of 2 processes are ready; b:1.0.0/instance-002: stopped");
        running.signal(Signal::TERM);
        manager.told("STOPPING=1");
        assert_eq!(running.ends(), Some(0));
    }
}

#[test]
fn a_host_is_ready_with_what_does_not_start_and_tells_a_wrong_place() {
    let dir = actors(&[("a", A), ("bad", BAD)]);
    let path = dir.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let mut command = ixt_run(dir.path(), &[]);
    command.env("NOTIFY_SOCKET", &path);
    let mut running = Running::spawn(dir, command);
    manager.told("READY=1");
    running.signal(Signal::TERM);
    manager.told("STOPPING=1");
    assert_eq!(running.ends(), Some(0), "it would have gone on trying");

    let dir = actors(&[("a", A)]);
    let mut command = ixt_run(dir.path(), &[]);
    command.env("NOTIFY_SOCKET", "vsock:2:1234");
    let mut running = Running::spawn(dir, command);
    let told = running.logged("can't report to the service manager (NOTIFY_SOCKET=vsock:2:1234)");
    assert_eq!(told["level"], "warn");
    running.logged("is ready");
}

#[test]
fn a_module_that_has_failed_ends_the_host_if_that_is_wanted_and_is_no_success() {
    let dir = actors(&[("a", A), ("bad", BAD)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, "[restart]\nintensity = 1\nbackoff = \"1ms\"\n").unwrap();
    let mut running = Running::start(dir, &["--exit-on-failure", "--config", config.to_str().unwrap()]);
    let reason = "bad:1.0.0/instance-001 ended before it answered `init`: it exited with status 7";
    running.noted(&format!("* the host ends: `bad` has failed: {reason}"));
    assert_eq!(running.logged("has ended")["module"], "a:1.0.0/instance-001", "in order");
    running.noted(&format!("error: `bad` has failed: {reason}"));
    assert_eq!(running.ends(), Some(1));

    // Otherwise it goes on with the others, and says so in the end.
    let dir = actors(&[("a", A), ("bad", BAD)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, "[restart]\nintensity = 1\nbackoff = \"1ms\"\ngive_up = true\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("it has failed, after 1 restarts");
    running.ok(&["call", "a", r#"{"do":"tell"}"#]);
    running.signal(Signal::TERM);
    running.noted(&format!("error: `bad` has failed: {reason}"));
    assert_eq!(running.ends(), Some(1));
}

/// A script that passes sockets to a command and executes it, as systemd does: for each letter of `kinds` a Unix socket at `path` (`u`) or
/// a TCP socket (others), of which `c` does not listen. Prints the port to stderr.
const HAND_OVER: &str = r#"
import os, socket, sys
path, kinds, names, *command = sys.argv[1:]
sockets, port = [], None
for kind in kinds:
    if kind == "u":
        os.makedirs(os.path.dirname(path), 0o700)
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind(path)
    else:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    if kind != "c":
        one.listen()
    # Out of the way of the numbers that they get.
    sockets.append(os.dup(one.fileno()))
    os.dup2(sockets[-1], 50 + len(sockets), inheritable=False)
for index in range(len(sockets)):
    os.dup2(51 + index, 3 + index, inheritable=True)
# All of them listen.
if port:
    print("port", port, file=sys.stderr, flush=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"#;

/// `ixt run` with sockets of these kinds and names, which [`HAND_OVER`] passes to it.
fn handed_over(dir: tempfile::TempDir, kinds: &str, names: &str, args: &[&str]) -> Running {
    needs("python3");
    let mut command = Command::new("python3");
    command.args(["-c", HAND_OVER]).arg(dir.path().join("host/h")).args([kinds, names]);
    by(&mut command, &ixt_run(dir.path(), args));
    command.stdin(Stdio::null());
    Running::spawn(dir, command)
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn sockets_that_are_handed_over_are_served_and_left_where_they_are() {
    // By their names, and, where these are those of the units, by what they are.
    for (kinds, names) in [("ut", "control:http"), ("tu", "ixt-http.socket:ixt.socket")] {
        let mut running = handed_over(actors(&[("a", A)]), kinds, names, &[]);
        let port = running.noted("port ").split_once(' ').unwrap().1.parse().unwrap();
        // There is nothing to wait for: an early client waits in the socket.
        let status: Value = serde_json::from_str(&running.ok(&["ps", "--json"])).unwrap();
        assert_eq!(status["pid"], running.ixt.id());
        assert!(get(port, "/healthz").starts_with("HTTP/1.1 200 "));
        running.logged("is ready");
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
            assert_eq!(variable(&running, name), Value::Null, "{name}");
        }
        // Nor has a module the sockets themselves.
        let status: Value = serde_json::from_str(&running.ok(&["ps", "--json"])).unwrap();
        let files = |pid: &Value| {
            let dir = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            dir.flatten().filter_map(|file| fs::read_link(file.path()).ok()).collect::<Vec<_>>()
        };
        let module = files(&status["modules"][0]["instances"][0]["pid"]);
        for file in [3, 4] {
            let socket = fs::read_link(format!("/proc/{}/fd/{file}", running.ixt.id())).unwrap();
            assert!(socket.to_str().unwrap().starts_with("socket:") && !module.contains(&socket), "{module:?}");
        }
        running.signal(Signal::TERM);
        assert_eq!(running.ends(), Some(0));
        assert!(running.dir.path().join("host/h").exists(), "it is not the host's");
    }
}

#[test]
fn what_can_not_be_served_is_refused_before_anything_is_started() {
    let refused = |kinds: &str, names: &str, args: &[&str], error: &str| {
        let mut running = handed_over(actors(&[("a", A)]), kinds, names, args);
        running.noted(error);
        assert_eq!(running.ends(), Some(2), "{kinds} {names}");
    };
    refused(
        "t",
        "control",
        &[],
        "error: the socket `control`, number 1 of those that the service manager hands over: ",
    );
    refused("ut", "http:control", &[], "error: the socket `http`, number 1 of those");
    refused("tt", "http:http", &[], "number 2 of those that the service manager hands over: is the second one");
    refused("c", "http", &[], "is a connection, not a listening socket: its unit must say `Accept=no`");
    let other = Path::new("/nowhere/h").to_str().unwrap();
    refused("u", "control", &["--host", other], "and another place is given with --host or IXT_HOST");
    refused("t", "", &["--http", "127.0.0.1:0"], "remove one of them");
}
