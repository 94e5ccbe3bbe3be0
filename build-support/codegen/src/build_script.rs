//! The part for a `build.rs`: tells cargo on which files the code depends, generates the code, and writes it if it has
//! changed. `generate` is the part without cargo, which writes no file.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use anyhow::{Context as _, bail};
use ixt_manifest::{Imports, Manifest};

use crate::generate::generate_from;
use crate::{Options, Source};

/// Generates the module's code from its manifest into `$OUT_DIR/module.rs`, which `ixt_sdk::include_module!()`
/// includes. For a `build.rs`. A relative `manifest` starts at the directory of the crate's `Cargo.toml`. Warnings are
/// shown by cargo, and are no error.
///
/// On an error, such as a mistake in the manifest, this prints the report or the error to stderr, which cargo shows,
/// and ends the build script with exit status 1. [`Builder::compile`] lists the errors and returns them instead;
/// [`Builder`] also has options.
///
/// ```no_run
/// // build.rs
/// # #[allow(clippy::needless_doctest_main)]
/// fn main() {
///     ixt_build::compile("manifest.toml");
/// }
/// ```
pub fn compile(manifest: impl AsRef<Path>) {
    if let Err(error) = Builder::new(manifest).compile() {
        // Not a panic, whose own message and backtrace would bury the report.
        eprintln!("{}", format!("{error:#}").trim_end());
        process::exit(1);
    }
}

/// [`compile`], with options. Only [`Builder::compile`] reads, checks and writes anything.
///
/// ```no_run
/// // build.rs
/// # #[allow(clippy::needless_doctest_main)]
/// fn main() -> anyhow::Result<()> {
///     ixt_build::Builder::new("manifest.toml")
///         .derive("Order", "PartialOrd")
///         .replace("Money", "crate::money::Money")
///         .compile()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    /// The path of the manifest, as given. A relative one starts at the directory of the crate's `Cargo.toml`.
    manifest: PathBuf,
    /// A plain name within `OUT_DIR`, which `compile` checks. `module.rs` if none was set.
    out_file: PathBuf,
    /// They are checked in `compile`.
    options: Options,
}

impl Builder {
    /// A builder for the manifest at this path, without options. A relative path starts at the directory of the crate's
    /// `Cargo.toml`, in which cargo runs build scripts. The file is not read yet.
    pub fn new(manifest: impl AsRef<Path>) -> Self {
        let manifest = manifest.as_ref().to_owned();
        Self { manifest, out_file: PathBuf::from("module.rs"), options: Options::default() }
    }

    /// Writes to this file in `OUT_DIR` instead of `module.rs`; the last call counts. For a crate with several
    /// manifests, which includes each file with `include!(concat!(env!("OUT_DIR"), "/name.rs"))`. The name includes the
    /// extension. If it has a directory, [`compile`](Self::compile) fails.
    #[must_use]
    pub fn out_file(mut self, name: impl AsRef<Path>) -> Self {
        name.as_ref().clone_into(&mut self.out_file);
        self
    }

    /// Derives more traits for a generated type, by its Rust name: `derive("Order", "PartialOrd, Ord")`. Several calls
    /// for a type add up. [`Options::attributes`] says which types this can be. For another name, or text with
    /// unbalanced brackets or quotes, [`compile`](Self::compile) fails. That a trait does not exist, or is derived
    /// already, only rustc finds out.
    #[must_use]
    pub fn derive(self, type_name: &str, derives: &str) -> Self {
        self.attribute(type_name, &format!("#[derive({derives})]"))
    }

    /// Adds one or more attributes to a generated type, by its Rust name: `attribute("Order", "#[non_exhaustive]")`.
    /// Several calls for a type add up, in their order. [`Options::attributes`] says which types this can be. For
    /// another name, or text that is no attribute, [`compile`](Self::compile) fails.
    #[must_use]
    pub fn attribute(mut self, type_name: &str, attribute: &str) -> Self {
        self.options.attributes.push((type_name.to_owned(), attribute.to_owned()));
        self
    }

    /// Uses the author's type at the Rust path `path` in place of a type of `[types]`, by its Rust name:
    /// `replace("Money", "crate::money::Money")`. [`Options::replaced`] says what the author's type has to implement,
    /// and what can't be replaced; for that, another name, or text that is no path, [`compile`](Self::compile) fails.
    #[must_use]
    pub fn replace(mut self, type_name: &str, path: &str) -> Self {
        self.options.replaced.push((type_name.to_owned(), path.to_owned()));
        self
    }

    /// Sets the Rust path of the SDK's crate in the code; the default is `::ixt_sdk`, and the last call counts. For a
    /// crate that renames the SDK, or uses it through another crate's re-export. Text that is no path makes
    /// [`compile`](Self::compile) fail.
    #[must_use]
    pub fn sdk(mut self, path: &str) -> Self {
        self.options.sdk = Some(path.to_owned());
        self
    }

    /// Generates the code into `OUT_DIR`. Prints instructions for cargo to stdout: the files on which the code depends,
    /// also if there is an error, and the warnings about the manifest, only if the code can be generated. A file that
    /// already has this content is not written, so cargo does not compile the crate again.
    ///
    /// # Errors
    ///
    /// A [`Report`](crate::Report), which `downcast_ref` finds, if the manifest or one of its `[requires.from]` can't
    /// be read or has mistakes, or if an option is wrong. Other errors: the file can't be written, `OUT_DIR` is not
    /// set, or the name of [`out_file`](Self::out_file) is not a plain name. A file of an earlier build stays as it is,
    /// unless the error comes in the middle of writing.
    ///
    /// # Panics
    ///
    /// Those of [`generate`](crate::generate()).
    pub fn compile(&self) -> anyhow::Result<()> {
        // Before anything can fail, so that a corrected manifest is read again.
        println!("{}", rerun_if_changed(&self.manifest));
        let out_dir = env::var_os("OUT_DIR").context("OUT_DIR is not set: this is to be called from a build.rs")?;
        if self.out_file.components().count() != 1 || self.out_file.file_name().is_none() {
            bail!("the output file `{}` is not a plain name: it is written into OUT_DIR", self.out_file.display());
        }
        let source = Source::read(&self.manifest)?;
        let manifest = Manifest::parse(&source)?;
        for path in Imports::paths(&source, &manifest) {
            println!("{}", rerun_if_changed(&path));
        }
        let generated = generate_from(&source, manifest, &self.options)?;
        for warning in generated.warnings.diagnostics() {
            println!("cargo::warning={}", warning.to_line());
        }
        write_if_changed(&PathBuf::from(out_dir).join(&self.out_file), &generated.code)
    }
}

/// The instruction to cargo that the output depends on a file. A line end in the file's name would begin another
/// instruction, so `\n` is written in its place. Cargo then does not find the file, and runs the build script in each
/// build.
fn rerun_if_changed(path: &Path) -> String {
    format!("cargo::rerun-if-changed={}", path.display().to_string().replace('\n', "\\n"))
}

/// Writes a file unless it already has this content. Its time of modification then stays, and cargo does not compile
/// the crate again. The directory has to exist.
fn write_if_changed(path: &Path, code: &str) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|old| old == code.as_bytes()) {
        return Ok(());
    }
    fs::write(path, code).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_path_tells_cargo_nothing_else() {
        assert_eq!(rerun_if_changed(Path::new("../a/manifest.toml")), "cargo::rerun-if-changed=../a/manifest.toml");
        let path = Path::new("a\ncargo::rustc-env=PATH=x");
        assert_eq!(rerun_if_changed(path), "cargo::rerun-if-changed=a\\ncargo::rustc-env=PATH=x");
    }

    #[test]
    fn a_file_is_written_only_if_its_content_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.rs");
        write_if_changed(&path, "one").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let state = || (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        write_if_changed(&path, "one").unwrap();
        assert_eq!(state(), ("one".to_owned(), SystemTime::UNIX_EPOCH));
        write_if_changed(&path, "two").unwrap();
        let (content, modified) = state();
        assert_eq!(content, "two");
        assert!(modified > SystemTime::UNIX_EPOCH);
        let error = write_if_changed(&dir.path().join("none/module.rs"), "").unwrap_err();
        assert!(error.to_string().starts_with("can't write "), "{error}");
    }
}
