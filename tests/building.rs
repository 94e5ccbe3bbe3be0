//! What runs is what was named: how the program of a module is built and found.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use ixt_tests::{build, needs};

/// A module without dependencies, of these files. Its programs are no modules: what they write tells which was started.
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

/// What is said of a module that can't be one.
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
    let expected = "has several programs (one, other): say with `default-run` in [package] which one is the module\n";
    assert!(said.ends_with(expected), "{said}");
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
