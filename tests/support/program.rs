//! The workspace's programs, built when a test needs them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// The workspace's root.
///
/// # Panics
///
/// If this file has been moved.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// Where this test was built.
///
/// # Panics
///
/// If this is not called from a test that cargo has built.
#[must_use]
pub fn target_dir() -> PathBuf {
    // target/debug/deps/test-0123
    env::current_exe().expect("a test is a file").ancestors().nth(3).expect("cargo builds into target/").to_owned()
}

/// Builds a package of the workspace and returns its program. A plain `cargo test` on an empty target directory builds
/// libraries and tests, but not the programs of other packages.
///
/// # Panics
///
/// If it doesn't build.
#[must_use]
pub fn build(package: &str) -> PathBuf {
    // Once for each process of tests: cargo takes its time to find out that there is nothing to do.
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = built.get(package) {
        return program.clone();
    }
    let program = build_now(package);
    built.insert(package.to_owned(), program.clone());
    program
}

fn build_now(package: &str) -> PathBuf {
    let output = Command::new(cargo())
        .args(["build", "--quiet", "--locked", "--message-format=json-render-diagnostics", "--package", package])
        .arg("--target-dir")
        .arg(target_dir())
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{package} does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_program = message["target"]["kind"] == serde_json::json!(["bin"]);
        message["executable"].as_str().filter(|_| is_program).map(PathBuf::from)
    });
    program.unwrap_or_else(|| panic!("{package} has no program"))
}

/// Sees to it that every dependency in the workspace's lock file has been downloaded: `cargo test -p` brings only those of
/// one package.
pub(crate) fn fetch() {
    let status = Command::new(cargo())
        .args(["fetch", "--quiet", "--locked"])
        .current_dir(workspace())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the dependencies can't be downloaded");
}

pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Sees to it that a program is there which is no part of this project.
///
/// # Panics
///
/// If it is not, with what to install: a test that is left out without a word says that all is well.
pub fn needs(program: &str) {
    let package = match program {
        "node" => "Node.js 14.6 or newer (Debian and Ubuntu: apt install nodejs)",
        "python3" => "Python 3.8 or newer (Debian and Ubuntu: apt install python3)",
        other => other,
    };
    let runs = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(runs.is_ok_and(|status| status.success()), "this test needs `{program}`: install {package}");
}

/// Whether any process has this text in its environment. That is how a test finds what one of its own processes has left
/// running: it gives it a variable with a value of its own.
///
/// # Panics
///
/// If there is no `/proc`.
#[must_use]
pub fn is_running(mark: &str) -> bool {
    fs::read_dir("/proc").expect("this test needs Linux's /proc").flatten().any(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    })
}
