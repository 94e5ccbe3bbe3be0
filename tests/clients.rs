//! Clients that connect to a host and send too much, too little or nothing, or do not read: no other client has to wait for them.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_host::control::{Claim, Control, ControlError, ControlReply};
use ixt_tests::{Hosts, Started, block_on, build, needs, workspace};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

const A: &str = "[provides]\nservices = [\"a\"]\n[services.a]\nrequest = { do = \"string\" }";

/// A host with a control socket.
struct Served {
    started: Started,
    socket: PathBuf,
    control: Arc<Control>,
    serving: JoinHandle<()>,
}

async fn serve() -> Served {
    let started = Hosts::new().actor("a", A).start().await;
    let socket = started.files.path().join("host/h");
    let (control, host) = (Arc::new(Claim::new(&socket).unwrap().listen().unwrap()), started.host.clone());
    let serving = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.serve(&host).await }
    });
    Served { started, socket, control, serving }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn connect(socket: &Path) -> BufReader<UnixStream> {
    BufReader::new(UnixStream::connect(socket).await.unwrap())
}

async fn reply(stream: &mut BufReader<UnixStream>) -> ControlReply {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

async fn ask(socket: &Path, command: Value) -> ControlReply {
    let mut stream = connect(socket).await;
    stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    reply(&mut stream).await
}

/// The code and the message of an error.
fn error(reply: ControlReply) -> (String, String) {
    let ControlReply::Error { code, message, .. } = reply else { panic!("{reply:?}") };
    (code, message)
}

async fn is_served(socket: &Path) -> bool {
    matches!(ask(socket, json!({ "do": "status" })).await, ControlReply::Data(_))
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    block_on(async {
        let served = serve().await;
        let mut idle = Vec::new();
        for at in 0..200 {
            let mut stream = connect(&served.socket).await;
            if at % 2 == 0 {
                stream.write_all(b"{\"do\":").await.unwrap();
            }
            idle.push(stream);
        }
        assert!(is_served(&served.socket).await);
        // Those that came first have made room.
        assert_eq!(idle[0].read(&mut [0]).await.unwrap_or(0), 0);
        let mut last = idle.pop().unwrap();
        last.write_all(b"{\"do\":\"status\"}\n").await.unwrap();
        assert!(matches!(reply(&mut last).await, ControlReply::Data(_)));
    });
}

/// A client that connects while the host shuts down is answered: a call with `UNAVAILABLE`, by the module that ends.
#[test]
fn a_host_that_was_asked_to_stop_answers_until_it_has() {
    block_on(async {
        let served = serve().await;
        let mut stop = connect(&served.socket).await;
        stop.write_all(b"{\"do\":\"stop\",\"module\":null}\n").await.unwrap();
        served.control.asked_to_stop().await;
        assert!(is_served(&served.socket).await);
        served.started.host.stop("a").await.unwrap();
        let call = json!({ "do": "call", "topic": "a", "payload": "" });
        let answer = error(ask(&served.socket, call).await);
        assert_eq!(answer, ("UNAVAILABLE".to_owned(), "`a` is stopped".to_owned()));
    });
}

#[test]
fn a_line_has_a_length_and_all_lines_together_have_one() {
    block_on(async {
        let served = serve().await;
        let mut long = connect(&served.socket).await;
        // It hangs up before the end, perhaps.
        let _ = long.write_all(&vec![b'x'; 25 << 20]).await;
        let (code, message) = error(reply(&mut long).await);
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("RESOURCE_EXHAUSTED", "the request is over the limit of 25165824 bytes for a line")
        );

        let part = vec![b'x'; 22 << 20];
        let mut parts = Vec::new();
        for _ in 0..2 {
            let mut stream = connect(&served.socket).await;
            stream.write_all(&part).await.unwrap();
            parts.push(stream);
        }
        let mut third = connect(&served.socket).await;
        let _ = third.write_all(&part).await;
        let (code, message) = error(reply(&mut third).await);
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("RESOURCE_EXHAUSTED", "the host has too much to do: try again later")
        );
        drop(parts);
        assert!(is_served(&served.socket).await);
    });
}

#[test]
fn a_payload_that_is_no_json_is_refused_before_the_module_is_asked() {
    block_on(async {
        let served = serve().await;
        let call =
            |payload: &str| json!({ "do": "call", "topic": "a", "payload": ixt_tests::base64(payload.as_bytes()) });
        for (payload, says) in [
            ("{time: 1}", "`a` takes a JSON object: key must be a string at line 1 column 2"),
            ("[]", "`a` takes a JSON object, and this is none"),
        ] {
            let (code, message) = error(ask(&served.socket, call(payload)).await);
            assert_eq!((code.as_str(), message.as_str()), ("INVALID_INPUT", says));
        }
        assert!(matches!(ask(&served.socket, call(r#"{"do":"tell"}"#)).await, ControlReply::Data(_)));
        assert_eq!(served.started.host.status()[0].topics[0].calls, 1);
    });
}

/// `ixt run` of an actor, and the lines of its log.
struct Running {
    dir: tempfile::TempDir,
    ixt: Child,
    log: Lines<std::io::BufReader<ChildStdout>>,
}

impl Running {
    fn start(args: &[&str], set: impl FnOnce(&Path, &mut Command)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("a");
        fs::create_dir(&module).unwrap();
        let actor = build("actor");
        let manifest = format!(
            "schema_version = \"3.0\"\n[module]\nname = \"a\"\nversion = \"1.0.0\"\n{A}\n\
             [artifacts.process]\npath = '{}'\n",
            actor.display()
        );
        fs::write(module.join("manifest.toml"), manifest).unwrap();
        let mut command = Command::new(build("ixt"));
        command.arg("run").arg(&module).args(["--ephemeral", "--host"]).arg(dir.path().join("host/h")).args(args);
        set(dir.path(), &mut command);
        let mut ixt = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let log = std::io::BufReader::new(ixt.stdout.take().unwrap()).lines();
        Self { dir, ixt, log }
    }

    /// Waits for a line of the log that contains this text, and returns it.
    fn logged(&mut self, text: &str) -> String {
        self.log.by_ref().map(Result::unwrap).find(|line| line.contains(text)).unwrap_or_else(|| panic!("no `{text}`"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.ixt.kill();
        let _ = self.ixt.wait();
    }
}

#[test]
fn what_the_host_itself_lacks_is_told_so_and_is_no_restart_of_the_module() {
    let mut running = Running::start(&[], |dir, ixt| {
        ixt.env("TMPDIR", dir.join("missing"));
    });
    let line = running.logged("it tries again every 1 s");
    assert!(line.contains("the host itself lacks what it needs: can't make a socket for the module in "), "{line}");
    fs::create_dir(running.dir.path().join("missing")).unwrap();
    running.logged("is ready");
    let socket = running.dir.path().join("host/h");
    let status = block_on(async { ask(&socket, json!({ "do": "status" })).await });
    let ControlReply::Data(status) = status else { panic!("{status:?}") };
    let status: Value = serde_json::from_str(status.get()).unwrap();
    assert_eq!(status["modules"][0]["instances"][0]["restarts"], 0, "{status}");
}

#[test]
fn a_module_has_the_limit_of_files_that_there_was_and_the_host_a_higher_one() {
    let mut running = Running::start(&[], |_, _| {});
    running.logged("is ready");
    let socket = running.dir.path().join("host/h");
    let limit = |pid: &str| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    let ControlReply::Data(status) = block_on(async { ask(&socket, json!({ "do": "status" })).await }) else {
        panic!()
    };
    let status: Value = serde_json::from_str(status.get()).unwrap();
    let module = limit(&status["modules"][0]["instances"][0]["pid"].to_string());
    assert_eq!(module, limit("self"));
    let host = fs::read_to_string(format!("/proc/{}/limits", running.ixt.id())).unwrap();
    let host: Vec<_> =
        host.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(host[3], host[4], "soft and hard");
}

#[test]
fn clients_of_http_that_do_not_read_block_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut running = Running::start(&["--http", &address], |_, _| {});
    running.logged("is ready");
    let mut silent = Vec::new();
    for at in 0..150 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let request: &[u8] =
            if at % 2 == 0 { b"GET /metr" } else { b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" };
        stream.write_all(request).unwrap();
        silent.push(stream);
    }
    let start = Instant::now();
    let mut scrape = TcpStream::connect(&address).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("ixt_instance_ready"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(5), "without waiting for those who say nothing");
}

/// A short part of what `tests/attacks/run` does.
#[test]
fn a_host_under_attack_stays_within_its_memory() {
    needs("python3");
    let programs = build("ixt");
    let mut command = Command::new("python3");
    command.arg(workspace().join("tests/attacks/run")).args(["--seconds", "1", "--programs"]);
    command.arg(programs.parent().unwrap()).args(["copies", "watches", "half_a_line"]);
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_in_the_place_of_the_socket_and_was_not_made_by_a_host_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let (file, link, dead, alive) = ("letter", "link", "dead", "alive");
    let path = |name: &str| dir.path().join(name);
    fs::write(path(file), "text").unwrap();
    std::os::unix::fs::symlink(path(file), path(link)).unwrap();
    for name in [file, link] {
        let error = Claim::new(path(name)).unwrap_err();
        assert!(matches!(error, ControlError::Occupied { .. }), "{error}");
        assert!(error.to_string().contains("there is something else at "), "{error}");
        assert!(!path(&format!("{name}.lock")).exists(), "nothing has happened yet");
    }
    assert_eq!(fs::read_to_string(path(link)).unwrap(), "text");
    // Another program listens there.
    let listener = std::os::unix::net::UnixListener::bind(path(alive)).unwrap();
    assert!(matches!(Claim::new(path(alive)), Err(ControlError::InUse { .. })));
    drop(listener);
    drop(std::os::unix::net::UnixListener::bind(path(dead)).unwrap());
    block_on(async {
        let control = Claim::new(path(dead)).unwrap().listen().unwrap();
        // What has come into its place since is none of this host's.
        fs::remove_file(path(dead)).unwrap();
        fs::write(path(dead), "text").unwrap();
        drop(control);
    });
    assert!(path(dead).is_file());
}
