//! `ixt run`, and the commands that talk to its host, as their user sees them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ixt_tests::{Running, actors, build, ixt};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use prost::Message as _;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const A: &str = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]";
const B: &str = "[provides]\nservices = [\"b\"]\n[requires]\nevents = [\"e\"]";

#[test]
fn a_running_host_is_called_shown_and_stopped() {
    let mut running = Running::start(actors(&[("a", A), ("b", B)]), &["--instances", "b=2"]);
    for _ in 0..3 {
        running.logged("is ready");
    }
    let script = json!({ "do": "call", "topic": "b", "with": { "do": "tell" } }).to_string();
    let told = json(&running.ok(&["call", "a", &script]));
    assert_eq!(told["data"]["context"]["source_module"], "a:1.0.0");
    assert_eq!(
        running.fails(&["call", "a", r#"{"do":"fail","code":"NO"}"#]),
        (1, "error: NO: as told\n  details: {\"why\":\"told\"}\n".to_owned())
    );
    assert_eq!(running.fails(&["call", "x"]), (1, "error: NOT_FOUND: no module here provides `x`\n".to_owned()));
    let (status, error) = running.fails(&["call", "a", r#"{"do":"nothing"}"#, "--ttl", "50ms"]);
    assert_eq!(
        (status, error.as_str()),
        (1, "error: DEADLINE_EXCEEDED: the time for `a` is over, and a:1.0.0/instance-001 has not answered\n")
    );
    running.ok(&["publish", "e", r#"{"event":1}"#]);

    let status = json(&running.ok(&["ps", "--json"]));
    let instances: Vec<_> = status["modules"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|module| module["instances"].as_array().unwrap())
        .collect();
    assert_eq!(instances.len(), 3);
    assert!(instances.iter().all(|instance| instance["state"] == "ready" && instance["restarts"] == 0), "{status}");
    let table = running.ok(&["ps"]);
    assert!(table.contains("b:1.0.0/instance-002  ready"), "{table}");

    running.ok(&["restart", "a"]);
    running.ok(&["stop", "b"]);
    assert_eq!(running.fails(&["call", "b"]), (1, "error: UNAVAILABLE: `b` is stopped\n".to_owned()));
    assert_eq!(
        running.fails(&["restart", "c"]).1,
        "error: NOT_FOUND: there is no module `c` here; there are: `a`, `b`\n"
    );
    running.ok(&["restart", "b"]);
    running.ok(&["call", "b"]);
    let logs = running.ok(&["logs", "a", "-n", "2", "--json"]);
    let messages: Vec<_> = logs
        .lines()
        .map(|line| json(line)["message"].as_str().unwrap().split(" (").next().unwrap().to_owned())
        .collect();
    assert_eq!(messages, ["is ready", "has ended"], "{logs}");
    // With fields, for people and for programs.
    let waits = r#"{"do":"wait","for":"nothing"}"#;
    assert_eq!(running.fails(&["call", "a", waits, "--ttl", "50ms"]).0, 1);
    let lines = running.ok(&["logs", "a", "-n", "2"]);
    let [waits, over] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert!(waits.contains("INFO  a/2            waits for nothing pid="), "{lines}");
    assert!(over.contains("WARN  a/2            * the call `a` of ixt-host:"), "{lines}");
    let (date, _) = waits.split_once(' ').unwrap();
    assert!(date.parse::<ixt_sdk::Timestamp>().is_ok(), "through a pipe it has the date and the offset: {waits}");
    let lines = running.ok(&["logs", "a", "-n", "2", "--json"]);
    let [waits, over] = lines.lines().map(json).collect::<Vec<_>>().try_into().unwrap();
    assert!(waits["fields"]["pid"].is_u64(), "{waits}");
    // By the beginning of a trace, which is what people see of it, and by the time.
    let trace = over["trace_id"].as_str().unwrap();
    assert_eq!(json(&running.ok(&["logs", "--trace", &trace[..8], "--json"])), over);
    assert_eq!(running.ok(&["logs", "--trace", "none"]), "");
    assert_eq!(
        json(&running.ok(&["logs", "--since", over["time"].as_str().unwrap(), "--level", "warn", "--json"])),
        over
    );
    assert_eq!(running.ok(&["logs", "--since", "2999-01-01T00:00:00Z"]), "");
    assert!(running.ok(&["logs", "--since", "1h"]).lines().count() > 10);
    let (status, error) = running.fails(&["logs", "--since", "yesterday"]);
    assert!(status == 2 && error.contains("expected a duration such as `10m`, or a time in RFC 3339"), "{error}");
    let dir = running.dir.path().to_owned();
    assert_eq!(running.stop(), Some(0));
    let gone = ixt(&dir, &["ps"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&gone.stderr).starts_with("error: no host is running at "), "{gone:?}");
}

/// Writes a module that is a cargo package without dependencies. It answers every request with this number.
fn package(dir: &Path, number: &str) {
    let main = r##"use std::io::{BufRead, BufReader, Write};

fn main() {
    let number: u32 = NUMBER;
    let mut socket = std::os::unix::net::UnixStream::connect(std::env::var("IXT_IPC_SOCKET").unwrap()).unwrap();
    for line in BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok) {
        writeln!(socket, r#"{{"type":"success","data":{{"number":{number},"healthy":true}}}}"#).unwrap();
        if line.contains("shutdown") {
            return;
        }
    }
}
"##;
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("src/main.rs"), main.replace("NUMBER", number)).unwrap();
}

#[test]
fn a_restart_builds_the_module_and_what_does_not_compile_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("modules/rebuilt");
    let manifest = |version: &str, services: &str| {
        let text = format!(
            "schema_version = \"3.0\"\n[module]\nname = \"rebuilt\"\nversion = \"{version}\"\n\
             [provides]\nservices = [{services}]\n"
        );
        fs::write(module.join("manifest.toml"), text).unwrap();
    };
    package(&module, "1");
    let cargo = "[package]\nname = \"rebuilt\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(module.join("Cargo.toml"), cargo).unwrap();
    manifest("1.0.0", "\"number\", \"old\"");
    let config = dir.path().join("host.toml");
    fs::write(&config, "[health]\ninterval = \"10s\"\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    let number = |running: &Running| json(&running.ok(&["call", "number"]))["number"].clone();
    assert_eq!(number(&running), 1);

    package(&module, "2");
    running.ok(&["restart", "rebuilt"]);
    assert_eq!(number(&running), 2);

    package(&module, "\"three\"");
    let (status, error) = running.fails(&["restart", "rebuilt"]);
    assert_eq!(status, 1);
    assert!(error.contains("error[E0308]: mismatched types") && error.contains("src/main.rs:4:23"), "{error}");
    let says = "error: FAILED_PRECONDITION: `rebuilt` is not restarted, and goes on as it was: cargo could not build ";
    assert!(error.contains(says), "{error}");
    assert_eq!(number(&running), 2);
    // Its program as it is.
    running.ok(&["restart", "rebuilt", "--no-build"]);
    assert_eq!(number(&running), 2);

    package(&module, "4");
    manifest("1.0.0", "\"number\"");
    fs::write(&config, "[health]\ninterval = \"11s\"\n").unwrap();
    let output = running.run(&["restart", "rebuilt"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("[health], [calls], [shutdown] and quotas) have changed"), "{told}");
    assert!(told.contains("* breaks callers: ") && told.contains("the service `old` is gone"), "{told}");
    assert_eq!(number(&running), 4);
    assert_eq!(running.fails(&["call", "old"]), (1, "error: NOT_FOUND: no module here provides `old`\n".to_owned()));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn keys_and_values_are_shown_changed_and_kept() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    assert_eq!(running.fails(&["kv", "get", "a", "k"]), (1, "error: `a` has no key `k`\n".to_owned()));
    let mut watch = ixt(running.dir.path(), &["kv", "watch", "a", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut changes = BufReader::new(watch.stdout.take().unwrap()).lines();
    // It watches when it says so, which only programs see; the first change that it tells is late enough.
    let script = |value: &str| {
        json!({ "do": "ask", "service": "kv_store", "method": "set",
            "params": { "key": "k", "value": ixt_tests::base64(value.as_bytes()) } })
        .to_string()
    };
    let patience = Instant::now() + Duration::from_secs(60);
    let told = std::thread::scope(|scope| {
        let first = scope.spawn(|| changes.next().unwrap().unwrap());
        while !first.is_finished() {
            running.ok(&["call", "a", &script("hello")]);
            assert!(Instant::now() < patience, "no change is told");
        }
        first.join().unwrap()
    });
    assert_eq!(json(&told)["key"], "k");
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(running.ok(&["kv", "get", "a", "k"]), "hello");
    running.ok(&["kv", "set", "a", "n/1", "--", "-5"]);
    let revision = json(&running.ok(&["kv", "set", "a", "n/2", "two", "--json"]))["revision"].as_u64().unwrap();
    let (status, error) = running.fails(&["kv", "set", "a", "n/2", "x", "--expected-revision", "1"]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: ABORTED: ") && error.contains(&revision.to_string()), "{error}");
    assert_eq!(running.ok(&["kv", "list", "a", "n/"]), "n/1\nn/2\n");
    running.ok(&["kv", "delete", "a", "n/1"]);
    assert_eq!(running.fails(&["kv", "delete", "a", "n/1"]).0, 1);
    assert_eq!(
        running.fails(&["kv", "list", "x"]).1,
        "error: NOT_FOUND: there is no module `x` here; there are: `a`\n"
    );

    // Another host can't have them.
    let other = actors(&[("a", A)]);
    let mut all = vec!["run", other.path().to_str().unwrap()];
    let modules = other.path().join("modules");
    all[1] = modules.to_str().unwrap();
    all.extend(args);
    let refused = ixt(other.path(), &all).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains(&format!("the data directory {} is in use by another host", data.display())), "{error}");

    // kill -9, and there they are.
    running.signal(Signal::KILL);
    running.ends();
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let mut again = Running::start(dir, &args);
    again.logged("is ready");
    assert_eq!(again.ok(&["kv", "get", "a", "n/2"]), "two");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_backup_is_made_while_the_host_runs_and_is_a_store_again() {
    let dir = actors(&[("a", A), ("b", B)]);
    let data = dir.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    running.ok(&["kv", "set", "a", "k", "one"]);
    running.ok(&["kv", "set", "b", "k", "two"]);
    let backup = running.dir.path().join("backup");
    let path = backup.to_str().unwrap();
    assert_eq!(running.ok(&["kv", "backup", path]), format!("2 keys are in {path}\n"));
    let (status, error) = running.fails(&["kv", "backup", path]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: FAILED_PRECONDITION: can't write a backup to "), "{error}");
    running.ok(&["kv", "set", "a", "k", "later"]);
    // From where the command runs, and not from where the host does.
    let mut beside = ixt(running.dir.path(), &["kv", "backup", "beside", "--json"]);
    let beside = beside.current_dir(running.dir.path()).output().unwrap();
    assert_eq!(json(&String::from_utf8(beside.stdout).unwrap())["keys"], 2);
    assert!(running.dir.path().join("beside").exists());
    // A host that runs has its data directory for itself.
    for command in ["check", "repair"] {
        let (status, error) = running.fails(&["kv", command, args[0], args[1]]);
        assert_eq!(status, 2);
        assert!(error.contains("is in use by another host"), "{error}");
    }
    assert_eq!(running.stop(), Some(0));

    fs::rename(&backup, data.join("kv.redb")).unwrap();
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let mut again = Running::start(dir, &args);
    again.logged("is ready");
    assert_eq!(again.ok(&["kv", "get", "a", "k"]), "one");
    assert_eq!(again.ok(&["kv", "get", "b", "k"]), "two");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_damaged_store_is_told_plainly_and_what_is_whole_is_saved() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let place = data.to_str().unwrap().to_owned();
    let args = ["--data-dir", place.as_str()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    for number in 0..20 {
        running.ok(&["kv", "set", "a", &format!("key/{number}"), &number.to_string().repeat(500)]);
    }
    assert_eq!(running.stop(), Some(0));
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let run = |args: &[&str]| {
        let output = ixt(dir.path(), args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let whole = "20 keys of 1 module are whole";
    assert_eq!(run(&["kv", "check", args[0], args[1]]), (0, format!("{whole}\n"), String::new()));
    let nothing = (0, format!("{whole}: there is nothing to repair\n"), String::new());
    assert_eq!(run(&["kv", "repair", args[0], args[1]]), nothing);
    // The one that is used if nothing is said.
    let mut default = ixt(dir.path(), &["kv", "check"]);
    let default = default.env("XDG_DATA_HOME", dir.path()).output().unwrap();
    assert_eq!(default.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&default.stderr).contains("there is no store of keys and values in "));

    // One value.
    let file = data.join("kv.redb");
    let mut bytes = fs::read(&file).unwrap();
    let value = "7".repeat(500);
    let at = bytes.windows(500).position(|window| window == value.as_bytes()).unwrap();
    bytes[at + 100] = b'x';
    fs::write(&file, &bytes).unwrap();
    let (status, told, error) = run(&["kv", "check", args[0], args[1]]);
    let damaged = "the value of the key `key/7` of `a` is not what was written";
    let lost = "1 of the 20 keys of `a` are lost";
    assert_eq!((status, told), (1, format!("19 keys of 1 module are whole\ndamaged: {damaged}\ndamaged: {lost}\n")));
    let repair = format!("`ixt kv repair --data-dir {place}`");
    assert_eq!(
        error,
        format!("error: the store of keys and values in {place} is damaged: {repair} saves what is whole\n")
    );
    let told = json(&run(&["kv", "check", args[0], args[1], "--json"]).1);
    assert_eq!(told, json!({ "whole": false, "modules": { "a": 19 }, "damage": [damaged, lost] }));
    let aside = format!("{}.damaged-1", file.display());
    assert_eq!(
        run(&["kv", "repair", args[0], args[1]]),
        (
            0,
            format!(
                "19 keys of 1 module are saved; the damaged file is kept as {aside}\nlost: {damaged}\nlost: {lost}\n"
            ),
            String::new()
        )
    );
    assert!(fs::read(aside).unwrap() == bytes);
    assert_eq!(run(&["kv", "check", args[0], args[1]]).0, 0);

    // Most of it: what the host says is one line, and no trace of a panic.
    bytes[4096..].fill(b'x');
    fs::write(&file, &bytes).unwrap();
    let modules = dir.path().join("modules");
    let (status, _, error) = run(&["run", modules.to_str().unwrap(), args[0], args[1]]);
    let plain = format!(
        "error: {} is damaged: parts of it are not what was written there: `ixt kv check --data-dir {place}` tells what is \
         whole, and {repair} saves what can be read, or put a backup in its place\n",
        file.display()
    );
    assert_eq!(status, 2);
    assert!(error.ends_with(&plain) && !error.contains("panicked"), "{error}");
    let (status, told, error) = run(&["kv", "check", args[0], args[1]]);
    assert_eq!(status, 1);
    assert!(told.starts_with("0 keys of 0 modules are whole\ndamaged: nothing of it can be read: "), "{told}");
    assert!(!error.contains("panicked"), "{error}");
    let (status, told, error) = run(&["kv", "repair", args[0], args[1], "--json"]);
    assert_eq!((status, error.as_str()), (0, ""));
    assert_eq!(json(&told)["aside"], format!("{}.damaged-2", file.display()));
    assert_eq!(run(&["kv", "check", args[0], args[1]]).1, "0 keys of 0 modules are whole\n");
}

#[test]
fn a_module_has_as_much_room_as_the_configuration_says() {
    let dir = actors(&[("a", A), ("b", B)]);
    let config = dir.path().join("host.toml");
    let run = |text: &str| {
        fs::write(&config, text).unwrap();
        let modules = dir.path().join("modules");
        let all = ["run", modules.to_str().unwrap(), "--ephemeral", "--config", config.to_str().unwrap()];
        let output = ixt(dir.path(), &all).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = run("[kv]\nquota = \"much\"\n");
    assert_eq!(status, Some(2));
    assert!(error.contains("expected a size such as \"256MiB\"") && error.contains("much"), "{error}");

    fs::write(&config, "[kv]\nquota = \"1KiB\"\n[modules.b]\nkv_quota = \"1MiB\"\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    let value = "x".repeat(2000);
    let (status, error) = running.fails(&["kv", "set", "a", "k", &value]);
    assert_eq!(status, 1);
    let full = "error: RESOURCE_EXHAUSTED: there is no room for the value: the module's keys and values have 0 bytes (64 of \
                them for each key), and may have 1024: ";
    assert!(error.starts_with(full), "{error}");
    running.ok(&["kv", "set", "b", "k", &value]);
    // The module is told the same.
    let script = json!({ "do": "ask", "service": "kv_store", "method": "set",
        "params": { "key": "k", "value": ixt_tests::base64(value.as_bytes()) } });
    let answer = running.run(&["call", "a", &script.to_string()]);
    let said = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(said.contains("RESOURCE_EXHAUSTED"), "{said}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_data_directory_of_others_or_of_a_later_version_is_refused() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let run = || {
        let all = ["run", modules.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let output = ixt(dir.path(), &all).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let error = run();
    assert!(error.contains(&format!("`chmod 700 {}`", data.display())), "{error}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(data.join("format"), "99\n").unwrap();
    let error = run();
    assert!(error.contains("has format version 99, and this program reads versions up to 2"), "{error}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing is made there");
}

#[test]
fn a_data_directory_that_can_not_be_written_to_is_an_error_with_its_name() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    // Not even root can write there.
    let output = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--data-dir", "/proc/ixt-data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("/proc/ixt-data"), "{error}");
}

#[test]
fn a_disk_that_is_full_fails_the_write_and_nothing_else() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let modules = dir.path().join("modules");
    let command = {
        let dir = dir.path();
        let ixt = ixt(dir, &[]);
        let mut command = Command::new("/bin/sh");
        // A process that writes more than it may is ended, unless it ignores that signal: then the write fails.
        command.args(["-c", "trap '' 25; exec \"$0\" \"$@\""]).arg(ixt.get_program()).arg("run").arg(modules);
        command.arg("--data-dir").arg(&data).envs(ixt.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    running.ok(&["kv", "set", "a", "small", "1"]);
    // No file may grow any more: to the process that is a full disk.
    let host = Pid::from_child(&running.ixt);
    let size = fs::metadata(data.join("kv.redb")).unwrap().len();
    let limit = |size| rustix::process::Rlimit { current: size, maximum: None };
    rustix::process::prlimit(Some(host), rustix::process::Resource::Fsize, limit(Some(size))).unwrap();
    let large = running.dir.path().join("large");
    fs::write(&large, vec![7; 4 * 1024 * 1024]).unwrap();
    let from = format!("@{}", large.display());
    let (status, error) = running.fails(&["kv", "set", "a", "large", "--data", &from]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: UNAVAILABLE: ") && error.contains("File too large"), "{error}");
    assert_eq!(running.ok(&["kv", "get", "a", "small"]), "1", "what is there can be read");
    rustix::process::prlimit(Some(host), rustix::process::Resource::Fsize, limit(None)).unwrap();
    running.ok(&["kv", "set", "a", "large", "--data", &from]);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn when_the_host_is_killed_its_modules_end_those_that_hang_too() {
    let file = "[shutdown]\ngrace = \"200ms\"\nexit_grace = \"200ms\"\n";
    let dir = actors(&[("a", A), ("b", B)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, file).unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    running.logged("is ready");
    // It sees nothing of the end of its host.
    running.ok(&["call", "a", r#"{"do":"deaf"}"#]);
    running.signal(Signal::KILL);
    running.ends();
    let patience = Instant::now() + Duration::from_secs(60);
    while running.is_there() {
        assert!(Instant::now() < patience, "a module outlives its host");
        std::thread::yield_now();
    }
}

#[test]
fn the_longest_durations_are_no_trouble() {
    let longest = "365000days";
    let dir = actors(&[("a", &format!("connect_timeout = \"1day\"\ninit_timeout = \"1day\"\n{A}"))]);
    let keys = [
        ("start", &["connect", "init"][..]),
        ("restart", &["window", "backoff", "max_backoff", "stable_after"]),
        ("health", &["interval", "timeout"]),
        ("calls", &["timeout"]),
        ("shutdown", &["grace", "exit_grace"]),
    ];
    let tables = keys.map(|(table, keys)| {
        let keys: Vec<_> = keys.iter().map(|key| format!("{key} = \"{longest}\"\n")).collect();
        format!("[{table}]\n{}", keys.concat())
    });
    let config = dir.path().join("host.toml");
    fs::write(&config, tables.concat()).unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    running.ok(&["call", "a", "--ttl", longest]);
    running.ok(&["kv", "set", "a", "k", "v", "--ttl", longest]);
    assert_eq!(running.ok(&["kv", "get", "a", "k"]), "v");
    assert!(!running.ok(&["logs", "--since", longest]).is_empty());
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn interrupted_it_ends_its_modules_and_leaves_nothing() {
    let mut running = Running::start(actors(&[("a", A)]), &[]);
    running.logged("is ready");
    assert!(running.is_there());
    running.signal(Signal::INT);
    running.logged("has ended");
    assert_eq!(running.ends(), Some(0));
    assert!(!running.is_there());
    assert!(!running.dir.path().join("host/h").exists(), "nor its socket");
}

/// The error of an `ixt run` of these modules with this file and these arguments, which has to refuse them.
fn refused(dir: &Path, file: &str, args: &[&str]) -> String {
    let config = dir.join("host.toml");
    fs::write(&config, file).unwrap();
    let modules = dir.join("modules");
    let all = ["run", modules.to_str().unwrap(), "--ephemeral", "--config", config.to_str().unwrap()];
    let output = ixt(dir, &[&all, args].concat()).env("IXT_TEST_TEXT", "s3cret").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The mistakes of a report, each as one text: the message, the place, and the help.
fn mistakes(report: &str) -> Vec<String> {
    let mut mistakes = Vec::<String>::new();
    for line in report.lines() {
        let place = line.trim_start().strip_prefix("--> ").map(|place| place.rsplit('/').next().unwrap().to_owned());
        let help = line.trim_start().strip_prefix("= help: ").map(str::to_owned);
        if line.starts_with("error") {
            mistakes.push(line.to_owned());
        } else if let Some(more) = place.or(help) {
            let mistake = mistakes.last_mut().unwrap();
            mistake.push_str(" | ");
            mistake.push_str(&more);
        }
    }
    mistakes
}

#[test]
fn all_mistakes_of_the_configuration_are_told_before_anything_is_started() {
    let a = "[provides]\nservices = [\"s\"]\n[config]\nlimit = { type = \"integer\" }\nurl = { type = \"string\" }\n\
             token = { type = \"string\", default = \"t\", secret = true }";
    let b = "[provides]\nservices = [\"s\"]\n[config]\nwait = { type = \"duration\" }";
    let dir = actors(&[("a", a), ("b", b)]);
    let file = r#"
data_dir = 5
[restart]
intensty = 3
window = "sixty"
[kvv]
quota = "1MiB"
[modules.aa]
instances = 2
[modules.a]
instances = 0
build = { profile = "release" }
[modules.a.config]
limit = "five"
tokn = "s3cret"
[modules.a.config_from]
token = "s3cret"
[modules.a.env]
IXT_IPC_SOCKET = "s3cret"
"A=B" = "C"
"#;
    let args = ["--set", "a.ur=s3cret", "--set", "b.wait=s3cret", "--instances", "c=2", "--set", "b.wait=5s"];
    let report = refused(dir.path(), file, &args);
    let expected = [
        "error[wrong-kind]: `data_dir` in the file must be a string | host.toml:2:12",
        "error[unknown-key]: unknown key `intensty` in [restart] | host.toml:4:1 | did you mean `intensity`?",
        "error[invalid-value]: `window` in [restart] is wrong | host.toml:5:10",
        "error[unknown-key]: unknown key `kvv` in the file | host.toml:6:2 | did you mean `kv`?",
        "error[unknown-key]: there is no module `aa` | host.toml:8:10 | the modules are `a`, `b`",
        "error[invalid-value]: `instances` in [modules.a] is out of range | host.toml:11:13",
        "error[inapplicable]: `a` is not built: its manifest's [artifacts.process] names its program | host.toml:12:1",
        "error[wrong-kind]: the config key `limit` needs an integer of at most 64 bits (its type is `integer`) | host.toml:14:9",
        "error[unknown-key]: the module `a` has no config key `tokn` | host.toml:15:1 | did you mean `token`?",
        "error[invalid-value]: `token` in [modules.a.config_from] is where the value is: `@FILE`, `env:NAME` or \
         `credential:NAME`; a value itself stands in [modules.a.config] | host.toml:17:9",
        "error[invalid-name]: [modules.a.env] can't set `IXT_IPC_SOCKET`: the host sets it, for each process another one | \
         host.toml:19:1",
        "error[invalid-name]: [modules.a.env] can't set `A=B`: a name is neither empty nor has `=`, and nothing has a zero byte | \
         host.toml:20:1",
        "error[unknown-key]: `--instances c`: there is no module `c` | the modules are `a`, `b`",
        "error[duplicate]: both `a` and `b` provide the service `s` | manifest.toml:8:13",
        "error[unknown-key]: `--set a.ur`: the module `a` has no config key `ur` | did you mean `url`?",
        "error[missing-key]: the module `a` has no value for its config key `url`, which has no default | manifest.toml:11:1 | \
         set it with `--set a.url=VALUE`, or in [modules.a.config] of the file of `--config`",
        "error[wrong-kind]: `--set b.wait`: the config key `wait` needs a duration such as `250ms` (its type is `duration`)",
        "error[duplicate]: `--set b.wait`: the config key `wait` is set twice",
    ];
    assert_eq!(mistakes(&report), expected, "{report}");
    // The lines are shown, and what may be secret in them is not.
    assert!(report.contains("14 | limit = \"five\"\n") && report.contains("15 | tokn = ********\n"), "{report}");
    assert!(!report.contains("s3cret"), "{report}");
}

#[test]
fn no_secret_is_shown_where_the_file_is_wrong() {
    let token = "[config]\ntoken = { type = \"string\", secret = true, default = \"\" }\nlimit = { type = \"integer\", default = 1 }";
    let dir = actors(&[("a", token)]);
    for file in [
        "[modules.a]\nconfig = { token = 'tör s3cret', limit = true }\n",
        "modules = { a = { config = { token = 's3cret', limt = 1 } } }\n",
        "[modules.a]\nconfig = 's3cret'\n",
        "[modules.a]\nkv_quota = 's3cret'\n",
        "[modules.a.config]\nlimit = 's3cret\n",
        "[modules.a.config]\ntoken = \"\"\"\ns3cret\n\"\"\nlimit = 1\n",
        "[modules.a.config\ntoken = 's3cret'\n",
        "[module.a.config]\ntoken = 's3cret'\n",
        "modules = { a = { config = { token = 's3cret' limit = 1 } } }\n",
        "[modules.a.config]\ntoken = 's3cret'\ntoken = 's3cret'\n",
    ] {
        let report = refused(dir.path(), file, &[]);
        assert!(report.contains("host.toml:") && !report.contains("s3cret"), "{report}");
    }
    // Where there can be none, the line is shown as it is.
    let report = refused(dir.path(), "[kv]\nquota = 5MB\n", &[]);
    assert!(report.contains("2 | quota = 5MB\n"), "{report}");
    let report = refused(dir.path(), "[modules.a.config_from]\nlimit = 'env:IXT_NO_SUCH'\n", &[]);
    assert!(
        report.contains("the environment variable `IXT_NO_SUCH`, for the config key `limit`, is not set"),
        "{report}"
    );
    assert!(report.contains("2 | limit = 'env:IXT_NO_SUCH'\n"), "{report}");
    // A secret on a command line is told, and not what it is.
    let told = refused(dir.path(), "", &["--set", "a.token=s3cret", "--set", "a.limit=env:IXT_TEST_TEXT"]);
    assert!(told.starts_with("warning: `--set a.token=…` is secret, and others can read a command line"), "{told}");
    assert!(told.contains("`--set a.token=@FILE`") && told.contains("`--set a.token=env:NAME`"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    let token = format!("a.token=@{}", dir.path().join("host.toml").display());
    assert!(!refused(dir.path(), "", &["--set", &token, "--set", "a.limit=x"]).contains("warning"));
    let report = refused(dir.path(), "", &["--set", "a.token=credential:../token"]);
    assert!(report.contains("the name of a credential is no path, and has no `/`"), "{report}");
    let output = ixt(dir.path(), &["run", dir.path().to_str().unwrap()]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("is no module, and none of its children is one"),
        "{output:?}"
    );
}

#[test]
fn the_examples_work_together() {
    let dir = tempfile::tempdir().unwrap();
    let command = ixt(dir.path(), &["run", "examples", "--ephemeral"]);
    let mut running = Running::spawn(dir, command);
    for _ in 0..4 {
        running.logged("is ready");
    }
    let sent = json(&running.ok(&["call", "notifications.send", r#"{ "user_id": 1, "message": "Hello!" }"#]));
    let receipt = sent["receipt"].as_str().unwrap();
    assert_eq!(running.ok(&["kv", "list", "mail"]), format!("outbox/{receipt}\n"));
    let mail = json(&running.ok(&["kv", "get", "mail", &format!("outbox/{receipt}")]));
    assert_eq!(mail, json!({ "to": "user-1@example.org", "text": "Hello!" }));
    assert_eq!(running.ok(&["call", "notifications.count", r#"{ "user_id": 1 }"#]), "{\"count\":1}\n");
    // A slip of the hand is told, whatever has to be named.
    let near = |running: &Running, args: &[&str]| running.fails(args).1;
    let unknown = "error: NOT_FOUND: no module here provides `orders.plce`; did you mean `orders.place`?\n";
    assert_eq!(near(&running, &["call", "orders.plce", "{}"]), unknown);
    let unknown = "error: NOT_FOUND: there is no module `ordres` here; did you mean `orders`?\n";
    for args in [&["restart", "ordres"][..], &["stop", "ordres"], &["logs", "ordres"], &["kv", "list", "ordres"]] {
        assert_eq!(near(&running, args), unknown);
    }
    let (mail, notifications) = (running.logged("is on its way"), running.logged("sent"));
    assert_eq!(mail["trace_id"], notifications["trace_id"], "what was logged for one call has one trace");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn one_default_place_holds_one_host() {
    let mut running = Running::start(actors(&[("a", A)]), &[]);
    running.logged("is ready");
    let socket = running.dir.path().join("host/h");
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    let modules = running.dir.path().join("modules");
    let (status, error) = running.fails(&["run", modules.to_str().unwrap(), "--ephemeral"]);
    assert_eq!(status, 2);
    assert!(error.starts_with(&format!("error: a host is running already, at {}: ", socket.display())), "{error}");
    running.ok(&["call", "a"]);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn what_a_module_starts_may_do_what_the_module_may_and_people_everything() {
    let a = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]\n[requires]\nservices = [\"b\"]";
    let mut running = Running::start(actors(&[("a", a), ("b", B), ("c", "[provides]\nservices = [\"c\"]")]), &[]);
    for _ in 0..3 {
        running.logged("is ready");
    }
    let socket = running.dir.path().join("host/h").display().to_string();
    // `ixt` with these arguments, started by the module `a`.
    let within = |args: &[&str]| {
        let ixt = build("ixt");
        let args = [&[ixt.to_str().unwrap(), "--host", &socket], args].concat();
        let output = json(&running.ok(&["call", "a", &json!({ "do": "run", "args": args }).to_string()]));
        let text = |key: &str| output[key].as_str().unwrap().to_owned();
        (output["status"].as_i64().unwrap(), text("stdout"), text("stderr"))
    };
    let (status, stdout, stderr) = within(&["call", "b", r#"{"do":"tell"}"#]);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(json(&stdout)["context"]["source_module"], "a:1.0.0");
    assert_eq!(within(&["publish", "e", r#"{"event":1}"#]).0, 0);
    assert_eq!(within(&["kv", "set", "a", "k", "v"]).0, 0);
    assert_eq!(within(&["kv", "get", "a", "k"]).1, "v");
    running.ok(&["kv", "set", "b", "k", "secret"]);
    let no_module = "this process was started by it, and modules may do here what they may do over their own socket";
    let kv = "may not use the keys and values of `b`: it has its own alone".to_owned();
    for (args, says) in [
        (&["call", "c"][..], "may not call `c`: it is not in the `[requires] services` of its manifest".to_owned()),
        (&["publish", "x"], "may not publish `x`: it is not in the `[provides] events` of its manifest".to_owned()),
        (&["kv", "get", "b", "k"], kv.clone()),
        (&["kv", "set", "b", "k", "v"], kv.clone()),
        (&["kv", "delete", "b", "k"], kv.clone()),
        (&["kv", "list", "b"], kv.clone()),
        (&["kv", "watch", "b"], kv),
        (&["ps"], format!("may not ask how the host and its modules are: {no_module}")),
        (&["logs"], format!("may not read the log: {no_module}")),
        (&["restart", "b"], format!("may not restart a module: {no_module}")),
        (&["stop", "a"], format!("may not stop a module: {no_module}")),
        (&["stop"], format!("may not stop the host: {no_module}")),
    ] {
        let error = format!("error: PERMISSION_DENIED: `a` {says}\n");
        assert_eq!(within(args), (1, String::new(), error), "{args:?}");
    }
    running.ok(&["call", "c"]);
    assert_eq!(running.ok(&["kv", "get", "b", "k"]), "secret");
    running.ok(&["restart", "b"]);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_module_gets_a_base_of_the_environment_and_what_is_set_for_it() {
    let dir = actors(&[
        ("a", "[provides]\nservices = [\"a\"]\n[config]\ntoken = { type = \"string\", secret = true }"),
        ("b", "[provides]\nservices = [\"b\"]"),
    ]);
    let config = dir.path().join("host.toml");
    let set = "[modules.a.config_from]\ntoken = \"env:A_TOKEN\"\n[modules.b.env]\nB_MODE = \"fast\"\nTZ = \"UTC\"\n";
    fs::write(&config, set).unwrap();
    let modules = dir.path().join("modules");
    let command = {
        let dir = dir.path();
        let mut command = ixt(dir, &["run", modules.to_str().unwrap(), "--ephemeral", "--config"]);
        command.arg(&config).env("A_TOKEN", "s3cret").env("TZ", "CET").env("LC_TIME", "C").env("NOTIFY_SOCKET", "/n");
        command.env("IXT_LOG", "debug");
        command
    };
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    running.logged("is ready");
    let variable = |module: &str, name: &str| {
        json(&running.ok(&["call", module, &json!({ "do": "variable", "name": name }).to_string()]))["value"].clone()
    };
    for module in ["a", "b"] {
        for name in ["A_TOKEN", "NOTIFY_SOCKET", "IXT_HOST", "CARGO_TARGET_DIR"] {
            assert_eq!(variable(module, name), Value::Null, "{module} has {name}");
        }
        assert_eq!((variable(module, "LC_TIME"), variable(module, "IXT_LOG")), (json!("C"), json!("debug")));
        assert!(variable(module, "PATH").is_string());
    }
    assert_eq!((variable("a", "TZ"), variable("a", "B_MODE")), (json!("CET"), Value::Null));
    assert_eq!((variable("b", "TZ"), variable("b", "B_MODE")), (json!("UTC"), json!("fast")));
    assert_eq!(running.stop(), Some(0));
}

/// The address at which it serves HTTP: `ADDRESS:PORT`.
fn http(running: &mut Running) -> String {
    let note = running.noted("* http://");
    let (address, _) = note.strip_prefix("* http://").and_then(|rest| rest.split_once(' ')).expect("an address");
    address.to_owned()
}

/// The answer to a request for this path with these headers.
fn get(at: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn http_at_loopback_is_for_those_who_ask_by_a_name_of_this_machine() {
    let args = ["--http", "127.0.0.1:0", "--http-host", "metrics.example"];
    let mut running = Running::start(actors(&[("a", A)]), &args);
    running.logged("is ready");
    let at = http(&mut running);
    let own = format!("host: {at}\r\n");
    for headers in [own.as_str(), "host: localhost\r\norigin: http://localhost:3000\r\n", "host: metrics.example:9\r\n"]
    {
        assert!(get(&at, "/metrics", headers).starts_with("HTTP/1.1 200 OK\r\n"), "{headers}");
    }
    for headers in ["host: evil.example\r\n", "", "host: localhost\r\norigin: http://evil.example\r\n"] {
        for path in ["/metrics", "/healthz", "/readyz", "/"] {
            let refused = get(&at, path, headers);
            assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{headers}: {refused}");
            assert!(refused.contains("--http-host NAME") && !refused.contains("ixt_instance_ready"), "{refused}");
        }
    }
    assert_eq!(running.stop(), Some(0));
    let module = running.dir.path().join("modules");
    let output = ixt(running.dir.path(), &["run", module.to_str().unwrap(), "--http-host", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`--http ADDRESS`, or `[http] address`"), "{output:?}");
}

#[test]
fn the_log_is_written_to_files_and_metrics_are_served() {
    let dir = actors(&[("a", A)]);
    let (logs, config) = (dir.path().join("logs"), dir.path().join("host.toml"));
    fs::write(&config, "log_dir = \"logs\"\n[log]\nfile_size = \"1kB\"\nfiles = 3\ncalls = true\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap(), "--http", "127.0.0.1:0"]);
    running.logged("is ready");
    running.ok(&["call", "a", r#"{"do":"print","text":"ERROR no disk","times":12}"#]);
    let line = running.logged("no disk");
    assert_eq!(
        (&line["level"], &line["origin"], &line["module"]),
        (&json!("error"), &json!("stdout"), &json!("a:1.0.0/instance-001"))
    );
    let at = http(&mut running);
    let metrics = get(&at, "/metrics", "host: localhost\r\n");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    for line in [
        "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n",
        "\nixt_log_lines_dropped_total 0\n",
        "\nixt_instance_ready{module=\"a\",module_id=\"a:1.0.0/instance-001\"} 1\n",
        "\nixt_calls_total{module=\"a\",topic=\"a\",code=\"OK\"} 1\n",
        "\nixt_call_duration_seconds_count{module=\"a\",topic=\"a\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line:?} is not in {metrics}");
    }
    assert!(!metrics.contains("ixt_spans_"), "there are none");
    assert_eq!(running.stop(), Some(0));
    let files: Vec<_> = fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 1000), "{files:?}");
    assert!(fs::read_to_string(logs.join("ixt.jsonl")).unwrap().contains("has ended"));
}

#[test]
fn whoever_looks_after_a_host_learns_whether_it_lives_and_is_ready() {
    let dir = actors(&[("a", A), ("b", B)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, "[http]\naddress = \"127.0.0.1:0\"\nnames = [\"probe.example\"]\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    let at = http(&mut running);
    running.logged("is ready");
    running.logged("is ready");
    let get = |path: &str| {
        let answer = get(&at, path, "host: probe.example\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse::<u16>().unwrap(), body.to_owned())
    };
    assert_eq!((get("/healthz"), get("/readyz")), ((200, "ok\n".to_owned()), (200, "ok\n".to_owned())));
    let verbose = "[+]host ok\n[+]a ok\n[+]b ok\nreadyz check passed\n".to_owned();
    assert_eq!(get("/readyz?verbose"), (200, verbose));
    running.ok(&["stop", "b"]);
    let failed = "[+]host ok\n[+]a ok\n[-]b failed: b:1.0.0/instance-001: stopped\nreadyz check failed\n".to_owned();
    assert_eq!((get("/healthz").0, get("/readyz")), (200, (503, failed)));
    running.ok(&["restart", "b"]);
    assert_eq!(get("/readyz").0, 200);

    // While it shuts down it lives, and is not ready.
    let busy = running.dir.path().join("modules/a/busy");
    fs::write(&busy, "").unwrap();
    running.signal(Signal::TERM);
    running.noted("* the modules finish what they have begun");
    let (status, reasons) = get("/readyz");
    assert!(status == 503 && reasons.starts_with("[-]host failed: it is shutting down\n"), "{reasons}");
    assert_eq!((get("/healthz").0, get("/metrics").0), (200, 200));
    fs::remove_file(&busy).unwrap();
    assert_eq!(running.ends(), Some(0));
    assert!(TcpStream::connect(&at).is_err());
}

/// Accepts one request to a collector of spans. Returns its head and its content.
fn collect(collector: &TcpListener) -> (String, ExportTraceServiceRequest) {
    let mut stream = BufReader::new(collector.accept().unwrap().0);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    (head, ExportTraceServiceRequest::decode(&*body).unwrap())
}

#[test]
fn spans_go_where_the_standard_variables_of_opentelemetry_say() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", collector.local_addr().unwrap());
    let dir = actors(&[("a", A), ("b", B)]);
    let modules = dir.path().join("modules");
    let command = {
        let dir = dir.path();
        let mut command = ixt(dir, &["run", modules.to_str().unwrap(), "--ephemeral"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret");
        command.env("OTEL_SERVICE_NAME", "shop");
        command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        command
    };
    let mut running = Running::spawn(dir, command);
    let told = format!("* spans are sent to {endpoint}v1/traces");
    assert_eq!(running.noted("* spans are sent to "), told);
    running.logged("is ready");
    running.logged("is ready");
    let told = json(&running.ok(&["call", "a", r#"{"do":"call","topic":"b","with":{"do":"tell"}}"#]));
    let traceparent = told["data"]["context"]["traceparent"].as_str().unwrap().to_owned();
    let collecting = std::thread::spawn(move || [collect(&collector), collect(&collector)]);
    assert_eq!(running.stop(), Some(0));
    let mut spans = Vec::new();
    for (head, request) in collecting.join().unwrap() {
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer s3cret\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
        let [of_module] = &request.resource_spans[..] else { panic!("{request:?}") };
        let attributes = format!("{:?}", of_module.resource);
        for part in ["shop", "deployment.environment.name", "1.0.0", "telemetry.sdk.name"] {
            assert!(attributes.contains(part), "{part} is not in {attributes}");
        }
        let name = of_module.resource.as_ref().unwrap().attributes.iter().find(|it| it.key == "service.name");
        let Some(AnyValue::StringValue(name)) = name.and_then(|it| it.value.clone()?.value) else {
            panic!("{attributes}")
        };
        let [scope] = &of_module.scope_spans[..] else { panic!("{request:?}") };
        let [span] = &scope.spans[..] else { panic!("{request:?}") };
        assert!(scope.schema_url.starts_with("https://opentelemetry.io/schemas/"), "{scope:?}");
        spans.push((name, span.clone()));
    }
    spans.sort_by(|(one, _), (other, _)| one.cmp(other));
    let [(a, outer), (b, inner)] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((a.as_str(), b.as_str(), &outer.name, &inner.name), ("a", "b", &"a".to_owned(), &"b".to_owned()));
    assert_eq!((&inner.parent_span_id, &inner.trace_id), (&outer.span_id, &outer.trace_id));
    let trace_id = TraceId::from_bytes(inner.trace_id[..].try_into().unwrap());
    let span_id = SpanId::from_bytes(inner.span_id[..].try_into().unwrap());
    assert_eq!(traceparent, format!("00-{trace_id}-{span_id}-01"));
}

#[test]
fn a_variable_of_opentelemetry_that_can_not_be_kept_to_is_told_before_anything_runs() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    for (variable, value, told) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`: expected `http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "PROTOCOL is `http/json`: expected `http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:s3cret@x/v1", "the scheme `http`, and not `https`"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[s3cret", "the URL to which spans are to be sent can't be read"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,x y=s3cret", "OTEL_EXPORTER_OTLP_HEADERS can't be read"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT is `10s`: expected milliseconds"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER is `zipkin`: expected `otlp` or `none`"),
        ("OTEL_TRACES_SAMPLER", "xray", "OTEL_TRACES_SAMPLER is `xray`: expected `always_on`"),
        ("OTEL_TRACES_SAMPLER", "parentbased_xray", "OTEL_TRACES_SAMPLER is `xray`: expected `always_on`"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "OTEL_BSP_MAX_QUEUE_SIZE is `0`: expected a number, 1 or more"),
        ("OTEL_SDK_DISABLED", "yes", "OTEL_SDK_DISABLED is `yes`: expected `true` or `false`"),
    ] {
        let mut command = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--ephemeral"]);
        let output = command.envs([endpoint, (variable, value)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {error}");
        assert!(error.starts_with("error: ") && error.contains(told), "{variable}={value}: {error}");
        assert!(output.stdout.is_empty() && !error.contains("s3cret"), "{error}");
    }
    let ratio = [endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    let output = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--ephemeral"]).envs(ratio).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("OTEL_TRACES_SAMPLER_ARG is `2`"), "{output:?}");

    // Nothing is printed, and no host is asked.
    let off = [endpoint, ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "xray")];
    let command = {
        let dir = dir.path();
        let mut command = ixt(dir, &["run", modules.to_str().unwrap(), "--ephemeral"]);
        command.envs(off);
        command
    };
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    let told = json(&running.ok(&["call", "a", r#"{"do":"tell"}"#]));
    assert_eq!(told["context"].get("traceparent"), None);
    assert_eq!(running.stop(), Some(0));
}
