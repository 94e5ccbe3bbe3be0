//! `ixt check`: reports the mistakes and warnings that a build script without options would report, and one mistake
//! that only a host would: that `[artifacts.process]` has nothing to start. It generates the code, but does not write
//! it, and starts neither cargo nor a module.

use std::path::Path;

use ixt_build::{Options, Severity, Source};
use ixt_manifest::{Code, Diagnostic, Manifest, Report};

use super::json;
use super::paths::manifests;
use crate::args::CheckArgs;
use crate::failure::{Failure, Result};
use crate::output::say;

/// Checks that `[artifacts.process]`, if the manifest has that table, has something to start: a `path`, or a file
/// `Cargo.toml` beside the manifest. It does not check that the `path` exists. The error is a report of this mistake
/// alone, or of those of a manifest that can't be parsed.
fn has_program(file: &Path, source: &Source) -> std::result::Result<(), Report> {
    let process = Manifest::parse(source)?.process;
    let (Some(span), None) = (process.span, process.path) else { return Ok(()) };
    if file.with_file_name("Cargo.toml").is_file() {
        return Ok(());
    }
    let missing =
        Diagnostic::new(Code::MissingKey, "[artifacts.process] has no `path`, and there is no Cargo.toml beside it")
            .at(span, "nothing to start")
            .help("add the `path` of the program; without one it is what cargo builds of the package");
    Err(Report::new(source, vec![missing]))
}

/// Checks all manifests, even after mistakes in one. Mistakes are a failure with status 1, also a manifest that can't
/// be read; warnings alone are not. The warnings of a manifest with mistakes may be missing. One that two paths stand
/// for is checked twice.
///
/// The reports go to stderr, with a last line that counts them, or with `as_json` to stdout, as one object a line.
/// Nothing is printed if there is nothing to report. A directory that can't be searched or has no manifest is a usage
/// error, and nothing else is reported then.
pub(crate) fn check(args: &CheckArgs, as_json: bool) -> Result<()> {
    let mut reports = Vec::new();
    for path in &args.paths {
        for file in manifests(path)? {
            // The code is generated too, because some mistakes are found only then, such as names that collide in Rust.
            let generated = Source::read(&file).and_then(|source| {
                let generated = ixt_build::generate(&source, &Options::default())?;
                has_program(&file, &source).map(|()| generated)
            });
            reports.push(generated.map_or_else(|report| report, |generated| generated.warnings));
        }
    }
    let count = |severity| reports.iter().map(|report| report.count(severity)).sum::<usize>();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let text = match as_json {
        true => {
            json::print(&reports)?;
            String::new()
        }
        false if errors + warnings == 0 => String::new(),
        false => {
            let found: Vec<_> = reports.iter().filter(|report| !report.is_empty()).collect();
            let text = found.iter().map(|report| report.to_ansi_string()).collect::<Vec<_>>().join("\n");
            let counted = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(count, _)| *count > 0);
            let counted: Vec<_> =
                counted.map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" })).collect();
            format!("{text}\n{}, in {} of {} checked\n", counted.join(" and "), found.len(), reports.len())
        }
    };
    if errors > 0 {
        return Err(Failure::no(text));
    }
    say(&text);
    Ok(())
}
