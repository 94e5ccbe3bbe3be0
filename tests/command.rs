//! The command `ixt`, as a user runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ixt_tests::{Scratch, build, built_fixture, is_running, target_dir, workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// `ixt` with these arguments, in the workspace's root.
fn ixt(args: &[&str]) -> Command {
    let mut command = Command::new(build("ixt"));
    command.args(args).current_dir(workspace()).env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target_dir());
    // Not the host of the user who runs the tests.
    command.env("IXT_HOST", "/no/such/host");
    command
}

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Outcome {
    result(ixt(args).output().unwrap())
}

fn result(output: Output) -> Outcome {
    Outcome {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The arguments of an `ixt call` of the fixture.
fn fixture<'a>(args: &[&'a str]) -> Vec<&'a str> {
    static DIR: LazyLock<String> = LazyLock::new(|| built_fixture().display().to_string());
    [&["call", "-m", DIR.as_str()], args].concat()
}

/// The arguments of [`fixture`], with the one config key that has to be set.
fn call_fixture<'a>(args: &[&'a str]) -> Vec<&'a str> {
    fixture(&[&["-c", "token=t"], args].concat())
}

#[test]
fn call_prints_the_replys_data() {
    let result = run(&["call", "--module", "examples/echo", "my.service.process", "hello"]);
    assert_eq!((result.status, result.stdout.as_str()), (0, "{\"result\":\"aGVsbG8=\"}\n"), "{}", result.stderr);
    let log = "echo | INFO Connecting to database: sqlite:///data.db\necho | INFO Shutting down module\n";
    assert!(result.stderr.ends_with(log), "{}", result.stderr);
}

#[test]
fn a_second_process_reads_back_what_the_first_one_placed() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("database_url=sqlite://{}/orders.db", dir.path().display());
    let call = |topic: &str, request: &str| run(&["call", "-m", "examples/orders", "--config", &url, topic, request]);
    let placed = call("orders.place", r#"{ "sku": "A-1", "quantity": 3, "note": "soon" }"#);
    assert_eq!(placed.status, 0, "{}", placed.stderr);
    assert_eq!(placed.stdout, "{\"id\":1,\"note\":\"soon\",\"quantity\":3,\"sku\":\"A-1\"}\n");
    assert_eq!(call("orders.get", r#"{ "id": 1 }"#).stdout, placed.stdout);

    let missing = call("orders.get", r#"{ "id": 2 }"#);
    assert_eq!((missing.status, missing.stdout.as_str()), (1, ""));
    assert!(
        missing.stderr.ends_with("error: NOT_FOUND: there is no order 2\n  details: {\"id\":2}\n"),
        "{}",
        missing.stderr
    );
    let wrong = call("orders.place", r#"{ "sku": "A-1", "quantity": "3" }"#);
    assert_eq!(wrong.status, 1);
    assert!(wrong.stderr.contains("error: INVALID_INPUT: the request is wrong: `quantity`: "), "{}", wrong.stderr);
}

#[test]
fn a_request_comes_from_the_command_line_a_file_or_stdin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("request");
    std::fs::write(&file, b"\x00\xff\n").unwrap();
    let data = format!("@{}", file.display());
    assert_eq!(run(&call_fixture(&["raw", "--data", &data])).stdout, "{\"result\":\"AP8K\",\"length\":3}\n");
    assert_eq!(run(&call_fixture(&["raw"])).stdout, "{\"result\":\"\",\"length\":0}\n");
    assert_eq!(run(&call_fixture(&["raw", "-5"])).stdout, "{\"result\":\"LTU=\",\"length\":2}\n");
    assert_eq!(run(&call_fixture(&["raw", "--", "-x"])).stdout, "{\"result\":\"LXg=\",\"length\":2}\n");
    let large = dir.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(17 * 1024 * 1024).unwrap();
    let too_long = run(&call_fixture(&["raw", "--data", &format!("@{}", large.display())]));
    assert_eq!(too_long.status, 2);
    assert!(too_long.stderr.contains("17825792 bytes, and a frame 16777216 at most"), "{}", too_long.stderr);

    let mut ixt = ixt(&call_fixture(&["fail", "--data", "-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ixt.stdin.take().unwrap().write_all(br#"{"message":"from stdin"}"#).unwrap();
    let result = result(ixt.wait_with_output().unwrap());
    assert_eq!(result.status, 1);
    assert!(result.stderr.contains("caused by: from stdin"), "{}", result.stderr);
}

#[test]
fn secrets_come_from_files_and_variables_and_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (token, key) = (dir.path().join("token"), dir.path().join("key"));
    std::fs::write(&token, "s3cret\n").unwrap();
    std::fs::write(&key, [0, 10]).unwrap();
    let (token_file, key) = (format!("token=@{}", token.display()), format!("key=@{}", key.display()));
    let call = fixture(&["config", "-c", &token_file, "-c", &key, "-c", "limit=env:IXT_TEST_LIMIT"]);
    let ok = result(ixt(&call).env("IXT_TEST_LIMIT", "7").output().unwrap());
    assert_eq!(ok.stdout, "{\"key\":\"AAo=\",\"limit\":7,\"tags\":[\"a\"],\"token\":\"s3cret\"}\n", "{}", ok.stderr);

    // As systemd gives them.
    let call = fixture(&["config", "-c", "token=credential:token", "-c", "key=credential:key"]);
    let ok = result(ixt(&call).env("CREDENTIALS_DIRECTORY", dir.path()).output().unwrap());
    assert!(ok.stdout.starts_with("{\"key\":\"AAo=\",") && ok.stdout.contains("\"token\":\"s3cret\""), "{}", ok.stderr);
    let none = result(ixt(&call).env_remove("CREDENTIALS_DIRECTORY").output().unwrap());
    assert!(none.stderr.contains("there is no credential `token`, for the config key `token`: "), "{}", none.stderr);
    let path = run(&fixture(&["config", "-c", "token=credential:../token"]));
    assert!(path.stderr.contains("the name of a credential is no path, and has no `/`"), "{}", path.stderr);

    let call = fixture(&["config", "-c", &token_file, "-c", "limit=env:IXT_TEST_LIMIT"]);
    let wrong = result(ixt(&call).env("IXT_TEST_LIMIT", "s3cret").output().unwrap());
    assert_eq!(wrong.status, 2);
    assert_eq!(
        wrong.stderr,
        "error[wrong-kind]: `--config limit`: the config key `limit` needs an integer of at most 64 bits (its type is `integer`)\n"
    );
    let unset = result(ixt(&call).output().unwrap());
    assert_eq!(unset.status, 2);
    assert!(unset.stderr.contains("`IXT_TEST_LIMIT`, for the config key `limit`, is not set"), "{}", unset.stderr);
    let not_utf8 = std::ffi::OsString::from_vec(b"s3cret\xff".to_vec());
    let not_utf8 = result(ixt(&call).env("IXT_TEST_LIMIT", not_utf8).output().unwrap());
    assert_eq!(not_utf8.status, 2);
    assert!(not_utf8.stderr.ends_with("is not UTF-8\n") && !not_utf8.stderr.contains("s3cret"), "{}", not_utf8.stderr);
}

#[test]
fn the_default_of_a_secret_is_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("manifest.toml");
    let text = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\n\
                plain = { type = \"string\", secret = true, default = \"hunter1\" }\n\
                db = { type = \"table\", fields = { password = { type = \"string\", secret = true, default = \"hunter2\" } }, \
                default = { password = \"hunter3\" } }\n";
    std::fs::write(&manifest, text).unwrap();
    for command in ["docs", "generate"] {
        let shown = run(&[command, manifest.to_str().unwrap()]);
        assert_eq!(shown.status, 0, "{}", shown.stderr);
        // The generated code has them as values, of which nothing shows any.
        let told: String = shown.stdout.lines().filter(|line| command == "docs" || line.contains("///")).collect();
        assert!(!told.contains("hunter"), "{told}");
    }
}

#[test]
fn a_secret_on_a_command_line_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = manifest("m")
        + "[config]\ntoken = { type = \"string\", secret = true }\n\
           database = { type = \"table\", fields = { password = { type = \"string\", secret = true } }, optional = true }\n\
           [artifacts.process]\npath = \"/bin/false\"\n";
    std::fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
    let dir = dir.path().display().to_string();
    let call = |config: &str| run(&["call", "-m", &dir, "s", "-c", "token=env:PATH", "-c", config]).stderr;
    let told = call(r#"database={"password":"s3cret"}"#);
    assert!(told.starts_with("warning: `--config database=…` is secret, and others can read a command line"), "{told}");
    assert!(told.contains("`--config database=@FILE`") && told.contains("`--config database=env:NAME`"), "{told}");
    assert!(!told.contains("s3cret") && told.matches("warning").count() == 1, "{told}");
}

#[test]
fn a_module_that_is_started_for_a_call_gets_the_same_environment() {
    let variable = |name: &str| {
        let dir = tempfile::tempdir().unwrap();
        let process = format!("[artifacts.process]\npath = '{}'\n[env]\npass = [\"MINE\"]\n", build("actor").display());
        std::fs::write(dir.path().join("manifest.toml"), manifest("m") + &process).unwrap();
        let script = json!({ "do": "variable", "name": name }).to_string();
        let mut ixt = ixt(&["call", "-m", dir.path().to_str().unwrap(), "s", &script]);
        result(ixt.env("MINE", "1").env("THEIRS", "2").env("WATCHDOG_PID", "3").output().unwrap()).stdout
    };
    assert_eq!(variable("MINE"), "{\"value\":\"1\"}\n");
    for name in ["THEIRS", "WATCHDOG_PID", "IXT_HOST"] {
        assert_eq!(variable(name), "{\"value\":null}\n", "{name}");
    }
}

#[test]
fn a_call_that_can_not_be_made_says_why_before_anything_is_built() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Cargo.toml"), "this is no package").unwrap();
    std::fs::write(dir.path().join("manifest.toml"), manifest("broken").replace("\"s\"", "\"t\"")).unwrap();
    let unbuildable = dir.path().display().to_string();
    for (args, says) in [
        (&fixture(&["raw"])[..], "the module `fixture` has no value for its config key `token`, which has no default"),
        (&fixture(&["raw"]), "help: set it with `--config token=VALUE`\n"),
        (&call_fixture(&["rwa"]), "the module `fixture` does not provide `rwa`; did you mean `raw`?"),
        (
            &call_fixture(&["nothing"]),
            "the module `fixture` does not provide `nothing`; it provides: abort, add, announce, big,",
        ),
        (&call_fixture(&["add", "{"]), "`add` takes a JSON object: EOF"),
        (&call_fixture(&["add", "[]"]), "`add` takes a JSON object, and this is none"),
        (&call_fixture(&["raw", "--data", "@/no/such/file"]), "can't read the request from /no/such/file"),
        (&call_fixture(&["raw", "--data", "text"]), "expected `@FILE` or `-`"),
        (&call_fixture(&["raw", "x", "--data", "-"]), "cannot be used with"),
        (&call_fixture(&["add", "--dta=@x"]), "unexpected argument '--dta'"),
        (&call_fixture(&["raw", "-c", "limit=5", "-c", "limit=6"]), "the config key `limit` is set twice"),
        (&call_fixture(&["raw", "-c", "limit"]), "expected `KEY=VALUE`"),
        (
            &call_fixture(&["raw", "-c", "limits=5"]),
            "`--config limits`: the module `fixture` has no config key `limits`",
        ),
        (&["call", "-m", &unbuildable, "s"], "the module `broken` does not provide `s`; it provides: t"),
        (&["call", "raw"], "no host is running at /no/such/host: start one with `ixt run DIR`"),
        (&["call", "raw", "-c", "a=b"], "--config and --data-dir are for a module that is started with --module"),
    ] {
        let result = run(args);
        assert_eq!((result.status, result.stdout.as_str()), (2, ""), "{args:?}: {}", result.stderr);
        assert!(result.stderr.contains(says), "{args:?}: {}", result.stderr);
    }
}

#[test]
fn a_module_that_does_not_build_start_or_initialize_exits_3() {
    let scratch = Scratch::new("broken", &manifest("broken"), "fn main() { this does not compile }");
    let dir = scratch.dir().display().to_string();
    let broken = run(&["call", "-m", &dir, "s"]);
    assert_eq!(broken.status, 3, "{}", broken.stderr);
    assert!(broken.stderr.contains("src/main.rs:1:18"), "{}", broken.stderr);
    assert!(broken.stderr.contains("error: cargo could not build "), "{}", broken.stderr);

    scratch.write("src/main.rs", "fn main() { eprintln!(\"not a module\") }");
    let exits = run(&["call", "-m", &dir, "s"]);
    assert_eq!(exits.status, 3, "{}", exits.stderr);
    let ending = "broken | not a module\nerror: broken:1.0.0/instance-001 ended before it connected to its host: it exited with status 0\n";
    assert!(exits.stderr.ends_with(ending), "{}", exits.stderr);

    let refuses = run(&["call", "-m", "examples/orders", "orders.get", "-c", "database_url=nonsense"]);
    assert_eq!(refuses.status, 3, "{}", refuses.stderr);
    let ending = "could not initialize: INVALID_INPUT: database_url must be sqlite://PATH\n";
    assert!(refuses.stderr.ends_with(ending), "{}", refuses.stderr);

    scratch.write("manifest.toml", "schema_version = \"3.0\"\n");
    let manifest = run(&["call", "-m", &dir, "s"]);
    assert_eq!(manifest.status, 3);
    assert!(manifest.stderr.contains("error[missing-key]: the manifest has no [module]"), "{}", manifest.stderr);
    let none = run(&["call", "-m", "/no/such/dir", "s"]);
    assert_eq!(none.status, 3);
    assert!(none.stderr.starts_with("error[unreadable]: can't read `/no/such/dir/manifest.toml`: "), "{}", none.stderr);
    let no_crate = tempfile::tempdir().unwrap();
    std::fs::write(no_crate.path().join("manifest.toml"), self::manifest("m")).unwrap();
    let no_crate = run(&["call", "-m", &no_crate.path().display().to_string(), "s"]);
    assert_eq!(no_crate.status, 3);
    assert!(
        no_crate.stderr.contains("it has no Cargo.toml, and its manifest no [artifacts.process]"),
        "{}",
        no_crate.stderr
    );
}

fn manifest(name: &str) -> String {
    format!(
        "schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n[provides]\nservices = [\"s\"]\n"
    )
}

#[test]
fn a_module_that_dies_is_told_and_exits_3() {
    let result = run(&call_fixture(&["abort"]));
    assert_eq!((result.status, result.stdout.as_str()), (3, ""));
    assert!(result.stderr.contains("ended while it handled `abort`: it was killed by signal 6"), "{}", result.stderr);
}

#[test]
fn nothing_is_left_running() {
    for (signal, name) in [(Signal::INT, "int"), (Signal::TERM, "term"), (Signal::KILL, "kill")] {
        // In the environment of `ixt` and of everything that it starts.
        let mark = format!("{}-{name}", std::process::id());
        let mut ixt = ixt(&call_fixture(&["wait"]))
            .env("IXT_TEST_MARK", &mark)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mark = format!("IXT_TEST_MARK={mark}");
        let mut stderr = BufReader::new(ixt.stderr.take().unwrap()).lines();
        assert!(stderr.any(|line| line.unwrap() == "fixture | INFO waiting"), "the handler runs");
        assert!(is_running(&mark));

        kill_process(Pid::from_child(&ixt), signal).unwrap();
        let status = ixt.wait().unwrap();
        if signal == Signal::KILL {
            // The module sees that its host is gone, and ends; no process is left that could report when.
            let patience = Instant::now() + Duration::from_secs(60);
            while is_running(&mark) {
                assert!(Instant::now() < patience, "the module outlives its host");
                std::thread::yield_now();
            }
        } else {
            assert_eq!(status.code(), Some(if signal == Signal::TERM { 143 } else { 130 }));
            assert!(!is_running(&mark));
            let rest: Vec<_> = stderr.map(Result::unwrap).collect();
            assert_eq!(rest, ["fixture | INFO closed"], "it was shut down, not killed");
        }
    }
}

#[test]
fn check_prints_what_is_wrong_and_exits_1() {
    let ok = run(&["check", "manifests/valid/orders.toml", "examples/echo/manifest.toml"]);
    assert_eq!((ok.status, ok.stdout.as_str(), ok.stderr.as_str()), (0, "", ""));

    let wrong = run(&[
        "check",
        "manifests/valid/orders.toml",
        "manifests/invalid/schema-version.toml",
        "manifests/invalid/colliding-fields.toml",
    ]);
    assert_eq!((wrong.status, wrong.stdout.as_str()), (1, ""));
    let golden = |name: &str| std::fs::read_to_string(workspace().join("tests/golden/diagnostics").join(name)).unwrap();
    let expected =
        format!("{}\n{}\n4 errors, in 2 of 3 checked\n", golden("schema-version.txt"), golden("colliding-fields.txt"));
    assert_eq!(wrong.stderr, expected, "the same text as in a build script, without colours");

    let unreadable = run(&["check", "/no/such.toml"]);
    assert_eq!(unreadable.status, 1);
    let expected = "error[unreadable]: can't read `/no/such.toml`: No such file or directory (os error 2)\n";
    assert!(unreadable.stderr.starts_with(expected), "{}", unreadable.stderr);

    let suspicious = run(&["check", "manifests/suspicious/not-a-process.toml"]);
    assert_eq!(suspicious.status, 0, "a warning is no error");
    assert!(suspicious.stderr.ends_with("\n1 warning, in 1 of 1 checked\n"), "{}", suspicious.stderr);
}

#[test]
fn check_takes_directories() {
    let examples = run(&["check", "examples"]);
    assert_eq!((examples.status, examples.stderr.as_str()), (0, ""));
    let valid = run(&["check", "manifests/valid", "examples"]);
    assert_eq!(valid.status, 0, "{}", valid.stderr);
    let invalid = run(&["check", "manifests/invalid"]);
    let count = std::fs::read_dir(workspace().join("manifests/invalid")).unwrap().count();
    let summary = format!("in {count} of {count} checked\n");
    assert_eq!((invalid.status, invalid.stderr.ends_with(&summary)), (1, true), "{}", invalid.stderr);
    let empty = tempfile::tempdir().unwrap();
    let empty = run(&["check", &empty.path().display().to_string()]);
    assert_eq!(empty.status, 2);
    assert!(empty.stderr.starts_with("error: there is no manifest in `"), "{}", empty.stderr);
    // Without a path, the manifests here.
    let here = Command::new(build("ixt")).arg("check").current_dir(workspace().join("examples/echo")).output().unwrap();
    assert_eq!(result(here).status, 0);
}

#[test]
fn check_prints_json_for_programs() {
    let result = run(&["check", "--json", "manifests/invalid/colliding-fields.toml", "manifests/suspicious"]);
    assert_eq!((result.status, result.stderr.as_str()), (1, ""));
    let lines: Vec<Value> = result.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0];
    assert_eq!((&first["severity"], &first["code"]), (&json!("error"), &json!("name-collision")), "{first}");
    let file = "manifests/invalid/colliding-fields.toml";
    let text = std::fs::read_to_string(workspace().join(file)).unwrap();
    for place in [&first["place"], &first["related"][0]] {
        assert_eq!(place["file"], file);
        let number = |key: &str| usize::try_from(place[key].as_u64().unwrap()).unwrap();
        let line = text.lines().nth(number("line") - 1).unwrap();
        let marked = &line[number("column") - 1..number("end_column") - 1];
        assert!(first["message"].as_str().unwrap().contains(marked), "{marked}: {first}");
    }
    assert_eq!(lines.iter().filter(|line| line["severity"] == "warning").count(), 9);
}

#[test]
fn generate_prints_the_code() {
    let result = run(&["generate", "manifests/valid/orders.toml"]);
    let golden = std::fs::read_to_string(workspace().join("tests/golden/code/orders.rs")).unwrap();
    assert_eq!((result.status, result.stdout == golden), (0, true));
    let result = run(&["generate", "manifests/invalid/empty.toml"]);
    assert_eq!((result.status, result.stdout.as_str()), (1, ""));
    assert!(result.stderr.contains("error[missing-key]: the manifest has no `schema_version`"), "{}", result.stderr);
}

#[test]
fn generate_writes_files_and_tells_which_are_stale() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let golden = |name: &str| std::fs::read_to_string(workspace().join("tests/golden/code").join(name)).unwrap();

    let file = path("new/orders.rs");
    let fresh = ["generate", "manifests/valid/orders.toml", "--out", &file, "--check"];
    assert_eq!(run(&fresh).status, 1, "there is none yet");
    assert!(!dir.path().join("new").exists(), "--check writes nothing");
    assert_eq!(run(&fresh[..4]).status, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), golden("orders.rs"));
    assert_eq!(run(&fresh).status, 0);
    std::fs::write(&file, golden("orders.rs").replace("pub struct Config {", "pub struct Konfig {")).unwrap();
    let stale = run(&fresh);
    assert_eq!(stale.status, 1);
    assert!(stale.stderr.contains("\n-pub struct Konfig {\n+pub struct Config {\n"), "{}", stale.stderr);

    let out = path("all");
    assert_eq!(run(&["generate", "manifests/valid"]).status, 2, "the code has nowhere to go");
    let all = run(&["generate", "manifests/valid", "--out", &out]);
    assert_eq!(all.status, 0, "{}", all.stderr);
    assert_eq!(std::fs::read_to_string(path("all/types.rs")).unwrap(), golden("types.rs"));
    assert_eq!(run(&["generate", "examples", "--out", &out]).status, 0);
    assert_eq!(std::fs::read_to_string(path("all/orders/module.rs")).unwrap(), golden("orders.rs"));

    let derived = run(&["generate", "manifests/valid/orders.toml", "--derive", "Order=PartialOrd"]);
    assert!(derived.stdout.contains("#[derive(PartialOrd)]"), "{}", derived.stderr);
    let case = run(&["generate", "manifests/valid/everything.toml", "--replace", "PrepaidVoucher=crate::X"]);
    let says = "`PrepaidVoucher` can't be replaced: it is the case `prepaid` of a union";
    assert!(case.stderr.contains(says), "{}", case.stderr);
    let unmatched = run(&["generate", "manifests/valid/orders.toml", "--replace", "Ordr=crate::X"]);
    assert_eq!(unmatched.status, 1);
    assert!(
        unmatched.stderr.contains("error[invalid-option]: the option `replace` is for a type `Ordr`"),
        "{}",
        unmatched.stderr
    );
}

#[test]
fn docs_prints_the_modules_reference_page() {
    let page = run(&["docs", "manifests/valid/everything.toml"]);
    let path = workspace().join("tests/golden/docs/everything.md");
    if std::env::var_os("IXT_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page.stdout).unwrap();
    }
    assert_eq!(page.status, 0, "{}", page.stderr);
    assert_eq!(page.stdout, std::fs::read_to_string(&path).unwrap(), "IXT_UPDATE_GOLDEN=1 takes the change over");
    assert_eq!(run(&["docs", "manifests/invalid/bounds.toml"]).status, 1);
    // Nothing in a description becomes Markdown or HTML.
    let descriptions = run(&["docs", "manifests/valid/descriptions.toml"]).stdout;
    let begins = |line: &str| line.starts_with("```") || line.starts_with("    ") || line.starts_with('<');
    assert!(!descriptions.lines().any(begins) && !descriptions.contains(" <"), "{descriptions}");
}

#[test]
fn a_module_started_by_hand_says_what_it_is() {
    let output = result(Command::new(build("orders")).env_remove("IXT_IPC_SOCKET").output().unwrap());
    assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    for says in
        ["orders 1.0.0 is an IXT module", "IXT_IPC_SOCKET", "ixt call --module DIR orders.get", "    orders.place\n"]
    {
        assert!(output.stderr.contains(says), "{says}: {}", output.stderr);
    }
    let output = result(Command::new(build("orders")).env("IXT_IPC_SOCKET", "/no/such/socket").output().unwrap());
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains("orders can't reach its host at /no/such/socket (IXT_IPC_SOCKET)"),
        "{}",
        output.stderr
    );
}
