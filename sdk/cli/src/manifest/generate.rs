//! `ixt generate`: the code that a build script would generate, on stdout or in files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ixt_build::{Options, Source};
use similar::TextDiff;

use super::paths::manifests;
use crate::args::GenerateArgs;
use crate::failure::{Failure, Result};
use crate::output::{print_bytes, say};

/// Generates the code of one manifest, or of all manifests in a directory; a directory without `--out` is a failure
/// with status 2. The options apply to each manifest, and are a mistake in one that has no such type. If any manifest
/// has mistakes, nothing is written: all their reports are the failure, with status 1. The warnings of the others go to
/// stderr at once. Without `--out` the code goes to stdout.
///
/// A file that is up to date is not written. With `--check` nothing is written, and the failure, with status 1, has a
/// diff for each file that is missing, unreadable or not up to date; there is no failure and no text if all are. A file
/// that can't be written is a failure with status 2; the files before it are written. Files whose manifests are gone
/// stay, and are not reported.
pub(crate) fn generate(args: &GenerateArgs) -> Result<()> {
    let options = Options {
        attributes: args
            .derive
            .iter()
            .map(|(name, derives)| (name.clone(), format!("#[derive({derives})]")))
            .chain(args.attribute.iter().cloned())
            .collect(),
        replaced: args.replace.clone(),
        sdk: args.sdk.clone(),
    };
    let is_dir = args.path.is_dir();
    let mut outputs = Vec::new();
    let mut mistakes = String::new();
    for manifest in manifests(&args.path)? {
        match Source::read(&manifest).and_then(|source| ixt_build::generate(&source, &options)) {
            Ok(generated) => {
                say(&generated.warnings.to_ansi_string());
                let out =
                    args.out.as_ref().map(|out| if is_dir { output(&args.path, &manifest, out) } else { out.clone() });
                outputs.push((out, generated.code));
            }
            Err(report) => mistakes.push_str(&report.to_ansi_string()),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::no(mistakes));
    }
    let mut stale = String::new();
    for (out, code) in outputs {
        let Some(out) = out else {
            if is_dir {
                return Err(Failure::usage("the code of a whole directory can't go to stdout: give --out DIR"));
            }
            return print_bytes(code.as_bytes());
        };
        let old = fs::read_to_string(&out).unwrap_or_default();
        if old == code {
            continue;
        }
        if args.check {
            let diff = TextDiff::from_lines(&old, &code);
            let diff = diff.unified_diff();
            let _ = write!(
                stale,
                "error: {} is out of date: its manifest now generates other code:\n\n{diff}",
                out.display()
            );
        } else {
            write_file(&out, &code)?;
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(Failure::no(stale)) }
}

/// The file for the code of a manifest in a directory, `dir`, which was found by [`manifests`]: `OUT/a/module.rs` for
/// `a/manifest.toml`, and `OUT/b.rs` for `b.toml`.
fn output(dir: &Path, manifest: &Path, out: &Path) -> PathBuf {
    let relative = manifest.strip_prefix(dir).unwrap_or(manifest);
    match relative.file_name() {
        Some(name) if name == "manifest.toml" => out.join(relative.with_file_name("module.rs")),
        _ => out.join(relative.with_extension("rs")),
    }
}

/// Writes a file, or replaces its content; makes the directory that it is in, and those above it, if there is none.
fn write_file(path: &Path, code: &str) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(path, code))
        .map_err(|error| Failure::usage(format!("can't write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_directory_goes_to_a_file_for_each_manifest() {
        let out = |manifest: &str| output(Path::new("in"), Path::new(manifest), Path::new("out"));
        assert_eq!(out("in/orders/manifest.toml"), Path::new("out/orders/module.rs"));
        assert_eq!(out("in/manifest.toml"), Path::new("out/module.rs"));
        assert_eq!(out("in/types.toml"), Path::new("out/types.rs"));
    }
}
