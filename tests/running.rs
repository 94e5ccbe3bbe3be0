//! `ixt run`, and the commands that talk to its host, as their user sees them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ixt_tests::{Running, actors, build, ixt, parse};
use rustix::process::Signal;
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]";
const B: &str = "[provides]\nservices = [\"b\"]\n[requires]\nevents = [\"e\"]";

#[test]
fn a_running_host_is_called_shown_and_stopped() {
    let mut running = Running::start(actors(&[("a", A), ("b", B)]), &["--instances", "b=2"]);
    for _ in 0..3 {
        running.logged("is ready");
    }
    let script = json!({ "do": "call", "topic": "b", "with": { "do": "tell" } }).to_string();
    let told = parse(&running.ok(&["call", "a", &script]));
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

    let status = parse(&running.ok(&["ps", "--json"]));
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
        .map(|line| parse(line)["message"].as_str().unwrap().split(" (").next().unwrap().to_owned())
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
    let [waits, over] = lines.lines().map(parse).collect::<Vec<_>>().try_into().unwrap();
    assert!(waits["fields"]["pid"].is_u64(), "{waits}");
    // By the beginning of a trace, which is what people see of it, and by the time.
    let trace = over["trace_id"].as_str().unwrap();
    assert_eq!(parse(&running.ok(&["logs", "--trace", &trace[..8], "--json"])), over);
    assert_eq!(running.ok(&["logs", "--trace", "none"]), "");
    assert_eq!(
        parse(&running.ok(&["logs", "--since", over["time"].as_str().unwrap(), "--level", "warn", "--json"])),
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
    let number = |running: &Running| parse(&running.ok(&["call", "number"]))["number"].clone();
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
        "error[invalid-name]: [modules.a.env] can't set `IXT_IPC_SOCKET`: the host sets it for each process | \
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
    let sent = parse(&running.ok(&["call", "notifications.send", r#"{ "user_id": 1, "message": "Hello!" }"#]));
    let receipt = sent["receipt"].as_str().unwrap();
    assert_eq!(running.ok(&["kv", "list", "mail"]), format!("outbox/{receipt}\n"));
    let mail = parse(&running.ok(&["kv", "get", "mail", &format!("outbox/{receipt}")]));
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
        let output = parse(&running.ok(&["call", "a", &json!({ "do": "run", "args": args }).to_string()]));
        let text = |key: &str| output[key].as_str().unwrap().to_owned();
        (output["status"].as_i64().unwrap(), text("stdout"), text("stderr"))
    };
    let (status, stdout, stderr) = within(&["call", "b", r#"{"do":"tell"}"#]);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(parse(&stdout)["context"]["source_module"], "a:1.0.0");
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
        parse(&running.ok(&["call", module, &json!({ "do": "variable", "name": name }).to_string()]))["value"].clone()
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
