//! What happens inside a `build.rs`: tell cargo what the output depends on, generate, write what changed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use crate::{Source, generate};

/// Generates the module's code from its manifest into `$OUT_DIR/module.rs`. For a `build.rs`; `manifest` is relative to
/// the directory of the crate's `Cargo.toml`.
///
/// If the manifest is wrong, this prints what is wrong and where to stderr, which cargo shows, and ends the build
/// script with exit status 1. The last good output is then left as it is.
///
/// ```no_run
/// // build.rs
/// # #[allow(clippy::needless_doctest_main)]
/// fn main() {
///     ixt_build::compile("manifest.toml");
/// }
/// ```
pub fn compile(manifest: impl AsRef<Path>) {
    let manifest = manifest.as_ref();
    // Before anything can fail: a manifest that is mended has to be read again.
    println!("cargo::rerun-if-changed={}", manifest.display());
    if let Err(message) = try_compile(manifest, env::var_os("OUT_DIR").as_deref()) {
        // Not a panic: its "thread main panicked" and backtrace would bury the message.
        eprint!("{message}");
        process::exit(1);
    }
}

fn try_compile(manifest: &Path, out_dir: Option<&OsStr>) -> Result<(), String> {
    let Some(out_dir) = out_dir else {
        return Err("error: OUT_DIR is not set: ixt_build::compile is to be called from a build.rs\n".to_owned());
    };
    let code = Source::read(manifest).and_then(|source| generate(&source)).map_err(|report| report.to_string())?;
    write_if_changed(&PathBuf::from(out_dir).join("module.rs"), &code)
}

/// Leaves the file's time alone when its content stays, so that the crate isn't compiled again for nothing.
fn write_if_changed(path: &Path, code: &str) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == code.as_bytes()) {
        return Ok(());
    }
    fs::write(path, code).map_err(|error| format!("error: can't write {}: {error}\n", path.display()))
}
