//! The workspace's programs, built when a test needs them; the programs that have to be installed; and the processes that run.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
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

/// Cargo's target directory, in which this test was built: `target`, or that of `CARGO_TARGET_DIR`.
///
/// # Panics
///
/// If this is not called from a test that cargo has built.
#[must_use]
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("cargo builds into target/").to_owned()
}

/// The directory of the profile that this test was built with: `target/debug`.
fn profile_dir() -> PathBuf {
    // target/debug/deps/test-0123
    let test = env::current_exe().expect("a test is a file");
    test.ancestors().nth(2).expect("cargo builds tests into target/PROFILE/deps").to_owned()
}

/// The path of the program of a package of this workspace, which has the package's name. The first call in a process builds the programs of
/// all packages, in the test's profile, and blocks for as long: a plain `cargo test` builds libraries and tests, but not the programs of
/// other packages.
///
/// With `IXT_PROGRAMS_ARE_BUILT` in the environment, nothing is built. A runner with a process for each test sets it, after
/// `cargo build --workspace --bins`: see `.config/nextest.toml`.
///
/// # Panics
///
/// If they don't build, or the package has no program.
#[must_use]
pub fn build(package: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if env::var_os("IXT_PROGRAMS_ARE_BUILT").is_none() {
            build_all();
        }
    });
    let program = profile_dir().join(package);
    assert!(program.exists(), "{package} has no program at {}", program.display());
    program
}

/// Builds the programs of all packages. cargo does nothing if they are up to date.
fn build_all() {
    let profile = profile_dir();
    let profile = match profile.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let status = Command::new(cargo())
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(target_dir())
        .current_dir(workspace())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the workspace's programs do not build");
}

/// Downloads every dependency in the workspace's lock file that is missing, for commands that then run offline: `cargo test -p` downloads
/// only those of one package.
pub(crate) fn fetch() {
    let status = Command::new(cargo())
        .args(["fetch", "--quiet", "--locked"])
        .current_dir(workspace())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the dependencies can't be downloaded");
}

/// The cargo that runs this test.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Checks that a program that is not part of this project is installed, by `--version`. Its version is not checked.
///
/// # Panics
///
/// If it is not, with what to install. The test must not be skipped silently, which would look like success.
pub fn needs(program: &str) {
    let package = match program {
        "node" => "Node.js 14.6 or newer (Debian and Ubuntu: apt install nodejs)",
        "python3" => "Python 3.8 or newer (Debian and Ubuntu: apt install python3)",
        other => other,
    };
    let runs = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(runs.is_ok_and(|status| status.success()), "this test needs `{program}`: install {package}");
}

/// Whether any process was started with this text in its environment. A test sets a variable with a unique value, `mark`, for a process,
/// and finds out with this whether that process or one of its descendants still runs. Processes of other users are not seen.
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
