//! How the program of a module is found and built, and that exactly this program is started.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use ixt_host::{Build, Builds, Module};
use ixt_tests::{block_on, build, needs};
use serde_json::Value;

/// A module without dependencies that consists of these files. Its programs do not connect to a host: each writes a text that shows which
/// program was started.
fn module(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let manifest =
        "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[provides]\nservices = [\"s\"]\n";
    write(dir.path(), "manifest.toml", manifest);
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    dir
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn write_script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// `ixt call` of a module, from another directory.
fn call(dir: &Path) -> Command {
    let mut command = Command::new(build("ixt"));
    command.args(["call", "-m"]).arg(dir).arg("s").current_dir(dir.parent().unwrap());
    command.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
    command
}

/// The error of a command for a module that can't be run.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn says(text: &str) -> String {
    format!("fn main() {{ println!({text:?}) }}")
}

const PACKAGE: &str = "[package]\nname = \"m\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";

#[test]
fn a_module_is_built_in_its_own_directory() {
    let dir = module(&[
        ("Cargo.toml", &format!("{PACKAGE}[workspace]\n")),
        (".cargo/config.toml", "[env]\nIXT_TEST_MARK = \"the module's configuration counts\"\n"),
        ("src/main.rs", "fn main() { println!(\"{}\", env!(\"IXT_TEST_MARK\")) }"),
    ]);
    let said = said(&mut call(dir.path()));
    assert!(said.contains("m | the module's configuration counts\n"), "{said}");
    // A place that is relative is one from where the command runs.
    let output = call(dir.path()).env("CARGO_TARGET_DIR", "somewhere").current_dir(dir.path().join("src")).output();
    assert!(dir.path().join("src/somewhere/debug/m").is_file(), "{output:?}");
}

#[test]
fn the_cargo_that_has_started_ixt_does_not_choose_the_toolchain() {
    let dir = module(&[("Cargo.toml", &format!("{PACKAGE}[workspace]\n")), ("src/main.rs", &says("started"))]);
    let bin = dir.path().join("bin");
    let log = dir.path().join("log");
    write_script(
        &bin.join("cargo"),
        &format!(
            "#!/bin/sh\necho \"$PWD ${{RUSTUP_TOOLCHAIN-none}}\" >>'{}'\nexec '{}' \"$@\"\n",
            log.display(),
            env!("CARGO")
        ),
    );
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let called = |change: fn(&mut Command) -> &mut Command, cargo: &Path| {
        let mut command = call(dir.path());
        // The toolchain itself is the same: this is no test of rustup.
        command.env("PATH", &path).env("CARGO", cargo).env("RUSTUP_TOOLCHAIN", "stable");
        let said = said(change(&mut command));
        (said, fs::read_to_string(&log).unwrap_or_default())
    };
    // As `cargo run` starts it: a `rust-toolchain.toml` of the module is to count.
    let (said, logged) = called(|ixt| ixt.env("CARGO_MANIFEST_DIR", "/"), Path::new("/no/such/cargo"));
    assert!(said.contains("m | started\n"), "{said}");
    let expected = format!("{} none", dir.path().canonicalize().unwrap().display());
    assert!(!logged.is_empty() && logged.lines().all(|line| line == expected), "{logged}");
    // As a user says it.
    fs::remove_file(&log).unwrap();
    let (said, logged) = called(|ixt| ixt.env_remove("CARGO_MANIFEST_DIR"), &bin.join("cargo"));
    assert!(said.contains("m | started\n"), "{said}");
    assert!(!logged.is_empty() && logged.lines().all(|line| line.ends_with(" stable")), "{logged}");
}

#[test]
fn a_module_is_its_own_package_and_no_other_of_the_workspace() {
    let tool = PACKAGE.replace("\"m\"", "\"tool\"");
    let dir = module(&[
        ("Cargo.toml", &format!("{PACKAGE}[workspace]\nmembers = [\"tool\"]\ndefault-members = [\".\", \"tool\"]\n")),
        ("src/main.rs", &says("the module")),
        ("tool/Cargo.toml", &tool),
        ("tool/src/main.rs", "this does not compile, and need not"),
    ]);
    let said_of_it = said(&mut call(dir.path()));
    assert!(said_of_it.contains("m | the module\n"), "{said_of_it}");
    // The root of a workspace that is no package itself has nothing to start.
    write(dir.path(), "Cargo.toml", "[workspace]\nmembers = [\"tool\"]\nresolver = \"3\"\n");
    let said = said(&mut call(dir.path()));
    assert!(said.contains("Cargo.toml has no [package]: a module is built with cargo\n"), "{said}");
}

#[test]
fn of_several_programs_the_default_one_is_the_module() {
    let dir = module(&[
        ("Cargo.toml", &format!("{PACKAGE}[workspace]\n")),
        ("src/main.rs", &says("named as the package")),
        ("src/bin/other.rs", &says("the other")),
    ]);
    let said_of_it = said(&mut call(dir.path()));
    assert!(said_of_it.contains("m | named as the package\n"), "{said_of_it}");
    write(dir.path(), "Cargo.toml", &format!("{PACKAGE}default-run = \"other\"\n[workspace]\n"));
    let said_of_it = said(&mut call(dir.path()));
    assert!(said_of_it.contains("m | the other\n"), "{said_of_it}");
    write(dir.path(), "Cargo.toml", &format!("{PACKAGE}[workspace]\n"));
    fs::rename(dir.path().join("src/main.rs"), dir.path().join("src/bin/one.rs")).unwrap();
    let said = said(&mut call(dir.path()));
    let expected = "has several programs (one, other): say with `default-run` in [package] which one is the module, or with `--bin NAME`\n";
    assert!(said.ends_with(expected), "{said}");
}

/// `ixt build` of modules in this directory.
fn ixt_build(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(build("ixt"));
    command.args(["build", "--json"]).args(args).current_dir(dir);
    command.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
    command
}

/// The texts that the built programs write, with the names of their modules.
fn built(command: &mut Command) -> Vec<(String, String)> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let run = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let output = Command::new(line["program"].as_str().unwrap()).output().unwrap();
        (line["module"].as_str().unwrap().to_owned(), String::from_utf8(output.stdout).unwrap())
    };
    lines.lines().map(run).collect()
}

fn refused(command: &mut Command, status: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

const MANIFEST: &str = "schema_version = \"3.0\"\n[module]\nname = \"NAME\"\nversion = \"1.0.0\"\n";

/// Two modules in a workspace. The crate that both depend on counts how often it is compiled, with which features.
fn workspace_of_two() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\", \"shared\"]\n");
    for (name, feature) in [("one", "first"), ("two", "second")] {
        let package = PACKAGE.replace("\"m\"", &format!("\"built-{name}\""));
        let dependency = format!("shared = {{ path = \"../shared\", features = [\"{feature}\"] }}");
        let package = format!("{package}[features]\nloud = []\n{feature}-alone = []\n[dependencies]\n{dependency}\n");
        write(dir.path(), &format!("{name}/Cargo.toml"), &package);
        write(dir.path(), &format!("{name}/manifest.toml"), &MANIFEST.replace("NAME", name));
        let main = r#"fn main() {
            let loud = if cfg!(feature = "loud") { "!" } else { "" };
            print!("{} {}{loud}", env!("CARGO_BIN_NAME"), if cfg!(debug_assertions) { "dev" } else { "release" });
        }"#;
        write(dir.path(), &format!("{name}/src/main.rs"), main);
        write(dir.path(), &format!("{name}/src/bin/{name}-tool.rs"), main);
    }
    let shared = PACKAGE.replace("\"m\"", "\"shared\"");
    write(dir.path(), "shared/Cargo.toml", &format!("{shared}[features]\nfirst = []\nsecond = []\n"));
    write(dir.path(), "shared/src/lib.rs", "");
    let count = r#"fn main() {
        use std::io::Write;
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open("../compiled").unwrap();
        let on = |name| std::env::var_os(name).is_some();
        writeln!(log, "{} {}", on("CARGO_FEATURE_FIRST"), on("CARGO_FEATURE_SECOND")).unwrap();
    }"#;
    write(dir.path(), "shared/build.rs", count);
    dir
}

#[test]
fn modules_of_one_workspace_are_built_together() {
    let dir = workspace_of_two();
    let programs = built(&mut ixt_build(dir.path(), &["two", "one"]));
    let expected = [("two", "built-two dev"), ("one", "built-one dev")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(programs, expected);
    let compiled = || fs::read_to_string(dir.path().join("compiled")).unwrap();
    // One after the other, it would be compiled for each.
    assert_eq!(compiled(), "true true\n");
    // Built again alone, a module has still the dependencies that it has beside the other, which is not looked at.
    write(dir.path(), "two/src/main.rs", "this does not compile");
    let mut builds = Builds::default();
    for name in ["one", "two"] {
        builds.module(Module::open(dir.path().join(name)).unwrap(), Build::default());
    }
    let said = Mutex::new(Vec::new());
    let output = |line: &str| said.lock().unwrap().push(line.to_owned());
    write(dir.path(), "one/src/main.rs", "fn main() { print!(\"changed\") }");
    let program = block_on(builds.program("one", &output)).unwrap_or_else(|error| panic!("{error}: {said:?}")).unwrap();
    let changed = Command::new(program.path()).output().unwrap().stdout;
    assert_eq!(String::from_utf8_lossy(&changed), "changed");
    assert!(compiled().lines().all(|features| features == "true true"), "{}", compiled());
    let error = block_on(builds.program("two", &output)).unwrap_err().to_string();
    assert_eq!(error, format!("cargo could not build {}; see above", dir.path().join("two/Cargo.toml").display()));
    assert!(said.lock().unwrap().iter().any(|line| line.contains("two/src/main.rs:1:")), "{said:?}");
    assert!(block_on(builds.program("three", &output)).unwrap().is_none());
    // What was built last is taken as it is.
    assert_eq!(block_on(builds.without_building().program("one", &output)).unwrap(), Some(program));
}

#[test]
fn a_module_is_built_as_the_command_line_and_the_file_say() {
    let dir = workspace_of_two();
    let file = "[build]\nprofile = \"release\"\n[modules.two.build]\nprofile = \"dev\"\nfeatures = [\"loud\"]\nbin = \"two-tool\"\n";
    write(dir.path(), "host.toml", file);
    let run = |args: &[&str]| {
        let mut programs = built(&mut ixt_build(dir.path(), &[&["one", "two"], args].concat()));
        [programs.remove(0).1, programs.remove(0).1]
    };
    assert_eq!(run(&["--config", "host.toml"]), ["built-one release", "two-tool dev!"]);
    assert_eq!(run(&["--release", "--features", "loud,first-alone"]), ["built-one release!", "built-two release!"]);
    assert_eq!(
        run(&["--config", "host.toml", "--profile", "dev", "--bin", "one-tool"]),
        ["one-tool dev", "two-tool dev!"]
    );
    // A feature that no module has is refused, with the one that was probably meant.
    let refused =
        |args: &[&str], status| refused(&mut ixt_build(dir.path(), &[&["one", "two"], args].concat()), status);
    assert_eq!(refused(&["--features", "luod"], 2), "error: no module has a feature `luod`; did you mean `loud`?\n");
    assert_eq!(
        refused(&["--bin", "one-tol"], 2),
        "error: no module has a program `one-tol`; did you mean `one-tool`?\n"
    );
    write(dir.path(), "host.toml", "[modules.one.build]\nfeatures = [\"second-alone\"]\n");
    let said = refused(&["--config", "host.toml"], 2);
    assert!(said.contains("one/Cargo.toml has no feature `second-alone`; there are: first-alone, loud\n"), "{said}");
    assert!(said.contains("--> host.toml:2:12\n"), "{said}");
    let said = refused(&["--profile", "fast"], 3);
    assert!(said.contains("profile `fast` is not defined"), "{said}");
    // Of one file only one module can be started.
    fs::rename(dir.path().join("two/src/bin/two-tool.rs"), dir.path().join("two/src/bin/one-tool.rs")).unwrap();
    let said = refused(&["--bin", "one-tool"], 3);
    assert!(said.contains("both have a program `one-tool` in one target directory"), "{said}");
}

#[test]
fn a_module_with_a_configuration_of_its_own_is_built_by_itself() {
    let dir = workspace_of_two();
    write(dir.path(), "one/.cargo/config.toml", "[env]\nIXT_TEST_MARK = \"the first's\"\n");
    write(dir.path(), ".cargo/config.toml", "[env]\nIXT_TEST_MARK = \"the workspace's\"\n");
    for name in ["one", "two"] {
        write(dir.path(), &format!("{name}/src/main.rs"), "fn main() { print!(env!(\"IXT_TEST_MARK\")) }");
    }
    let programs = built(&mut ixt_build(dir.path(), &["."]));
    assert_eq!([&*programs[0].1, &*programs[1].1], ["the first's", "the workspace's"]);
}

#[test]
fn a_module_is_called_as_it_was_built_last() {
    let dir = module(&[
        ("Cargo.toml", &format!("{PACKAGE}[workspace]\n")),
        ("src/main.rs", "fn main() { println!(\"debug assertions: {}\", cfg!(debug_assertions)) }"),
    ]);
    let not_built = said(call(dir.path()).args(["--no-build", "--release"]));
    let program = dir.path().join("target/release/m");
    let expected = format!("there is no {}, and nothing was to be built: `ixt build` builds it\n", program.display());
    assert!(not_built.ends_with(&expected), "{not_built}");
    assert!(said(call(dir.path()).arg("--release")).contains("m | debug assertions: false\n"));
    write(dir.path(), "src/main.rs", "this does not compile");
    assert!(said(call(dir.path()).args(["--no-build", "--release"])).contains("m | debug assertions: false\n"));
    let running = refused(Command::new(build("ixt")).args(["call", "s", "--release"]), 2);
    assert!(running.contains("are for a module that is started with --module"), "{running}");
}

#[test]
fn a_build_that_nobody_waits_for_any_more_ends() {
    let dir = module(&[
        ("Cargo.toml", &format!("{}[workspace]\n", PACKAGE.replace("\"m\"", "\"built-given-up\""))),
        ("src/main.rs", "fn main() {}"),
        (
            "build.rs",
            r#"fn main() {
                use std::io::Read;
                let mut socket = std::os::unix::net::UnixStream::connect("socket").unwrap();
                let _ = socket.read(&mut [0]);
            }"#,
        ),
    ]);
    let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    let module = Module::open(dir.path()).unwrap();
    block_on(async {
        let building = tokio::spawn(async move { module.program(&Build::default(), &|_: &str| ()).await });
        let mut script = tokio::task::spawn_blocking(move || listener.accept().unwrap().0).await.unwrap();
        building.abort();
        assert!(building.await.unwrap_err().is_cancelled());
        // The build script is gone, which cargo has started.
        let read = tokio::task::spawn_blocking(move || script.read(&mut [0]).unwrap()).await.unwrap();
        assert_eq!(read, 0);
    });
}

#[test]
fn what_a_build_writes_is_text() {
    let dir = module(&[
        ("Cargo.toml", &format!("{PACKAGE}[workspace]\n")),
        ("build.rs", r#"fn main() { println!("cargo::warning=a\u{1b}[8mb\u{202e}c\rd"); }"#),
        ("src/main.rs", "this does not compile"),
    ]);
    let said = said(&mut call(dir.path()));
    // Cargo itself drops some escapes where there is no terminal.
    assert!(said.contains(r"b\u{202e}c\rd") && !said.contains('\u{1b}'), "{said:?}");
    assert!(said.contains("src/main.rs:1:"), "{said}");
}

#[test]
fn a_relative_interpreter_lies_with_the_module_and_is_not_resolved() {
    needs("python3");
    let dir = module(&[("main.py", "import sys\nprint(sys.argv[0])\n")]);
    let write_manifest = |process: &str| {
        write(
            dir.path(),
            "manifest.toml",
            &format!(
                "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[provides]\nservices = [\"s\"]\n\
                 [artifacts.process]\n{process}\n"
            ),
        );
    };
    // As in a virtual environment of Python: what is linked to knows by which name it was started.
    write_script(&dir.path().join("elsewhere/run"), "#!/bin/sh\necho \"started as $0 in $PWD\"\n");
    fs::create_dir_all(dir.path().join("venv/bin")).unwrap();
    symlink("../../elsewhere/run", dir.path().join("venv/bin/python")).unwrap();
    let real = dir.path().canonicalize().unwrap();
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    for process in ["path = \"main.py\"\ninterpreter = \"venv/bin/python\"", "path = \"venv/bin/python\""] {
        write_manifest(process);
        for (from, module) in
            [(real.parent().unwrap(), name), (real.as_path(), "."), (Path::new("/"), real.to_str().unwrap())]
        {
            let mut command = Command::new(build("ixt"));
            let said = said(command.args(["call", "-m", module, "s"]).current_dir(from));
            let started =
                said.strip_prefix("m | started as ").and_then(|rest| rest.split_once(" in ")).unwrap_or_default();
            assert!(Path::new(started.0).is_absolute() && started.0.ends_with("venv/bin/python"), "{process}: {said}");
        }
        let mut command = Command::new(build("ixt"));
        command.args(["conformance", "-m", "manifest.toml"]).current_dir(&real);
        let output = command.output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.contains("venv/bin/python in "), "{found}");
    }
}

#[test]
fn a_program_gets_its_arguments_and_variables_as_they_are_written() {
    let variables = "[env.set]\nGREETING = \"hello  $USER\"\nPATH = \"/usr/bin:/bin:/of/the/manifest\"\n";
    let append = |dir: &Path, text: &str| {
        let manifest = fs::read_to_string(dir.join("manifest.toml")).unwrap();
        write(dir, "manifest.toml", &format!("{manifest}{text}{variables}"));
    };
    // What cargo builds has them too.
    let main = "fn main() { println!(\"{:?} {:?}\", std::env::args().skip(1).collect::<Vec<_>>(), std::env::var(\"GREETING\")) }";
    let package = module(&[("Cargo.toml", &format!("{PACKAGE}[workspace]\n")), ("src/main.rs", main)]);
    append(package.path(), "[artifacts.process]\nargs = [\"--name\", \"a b\", \"\", \"*\"]\n");
    let built = said(&mut call(package.path()));
    assert!(built.contains(r#"m | ["--name", "a b", "", "*"] Ok("hello  $USER")"#), "{built}");

    let script = module(&[("main.sh", "echo \"$- $# $1 $2 $GREETING $PATH\"\n")]);
    append(
        script.path(),
        "[artifacts.process]\npath = \"main.sh\"\ninterpreter = \"sh\"\ninterpreter_args = [\"-e\", \"-u\"]\nargs = [\"-v\", \"-v\"]\n",
    );
    let interpreted = said(&mut call(script.path()));
    let (_, line) = interpreted.split_once("m | ").unwrap();
    let (flags, rest) = line.split_once(' ').unwrap();
    assert!(flags.contains('e') && flags.contains('u'), "{interpreted}");
    assert!(rest.starts_with("2 -v -v hello  $USER /usr/bin:/bin:/of/the/manifest\n"), "{interpreted}");
}

#[test]
fn a_module_that_says_how_it_is_started_and_not_what_is_told() {
    let dir = module(&[]);
    let check = || Command::new(build("ixt")).arg("check").arg(dir.path()).output().unwrap();
    assert!(check().status.success(), "a manifest alone says nothing of it");
    let manifest = fs::read_to_string(dir.path().join("manifest.toml")).unwrap();
    write(dir.path(), "manifest.toml", &format!("{manifest}[artifacts.process]\noverlap = false\n"));
    let output = check();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("[artifacts.process] has no `path`, and there is no Cargo.toml beside it"), "{text}");
    write(dir.path(), "Cargo.toml", PACKAGE);
    assert!(check().status.success());
}

#[test]
fn places_that_are_relative_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(build("ixt"));
    command.arg("ps").current_dir(dir.path()).env_remove("IXT_HOST").env("TMPDIR", dir.path());
    let at = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        text.strip_prefix("error: no host is running at ").and_then(|rest| rest.split_once(": ")).unwrap().0.to_owned()
    };
    let here = dir.path().display();
    assert_eq!(at(command.env("XDG_RUNTIME_DIR", dir.path())), format!("{here}/ixt/host.sock"));
    for relative in ["run", "./run", ""] {
        let path = at(command.env("XDG_RUNTIME_DIR", relative));
        assert!(path.starts_with(&format!("{here}/ixt-")), "XDG_RUNTIME_DIR={relative}: {path}");
    }
    let path = at(command.env("TMPDIR", "tmp"));
    assert!(path.starts_with("/tmp/ixt-"), "{path}");
}
