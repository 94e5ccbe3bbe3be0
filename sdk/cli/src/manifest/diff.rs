//! `ixt diff`: compares two versions of a manifest, and reports what the change means for the module's callers and
//! subscribers, and for those who configure and run it. `ixt_manifest::compare` has the rules.

use std::io::Read as _;
use std::path::Path;

use ixt_manifest::{Manifest, Severity, Source, compare};

use super::json;
use crate::args::DiffArgs;
use crate::failure::{Failure, Result};
use crate::output::print;

/// Compares the manifests, without those that they import. Prints nothing to stdout if no change matters. Otherwise it
/// prints the changes, breaking ones first, and how many there are of each severity, or as JSON only the changes, one
/// object a line. Breaking changes are a failure with status 1, without a text.
///
/// A manifest that can't be read or has mistakes is a failure with status 2. Its text is the report, also with
/// `as_json`; if both have mistakes, only those of the old one. Warnings are not shown.
pub(crate) fn diff(args: &DiffArgs, as_json: bool) -> Result<()> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let parse = |source: &Source| Manifest::parse(source).map_err(|report| Failure::wrong(report.to_ansi_string()));
    let report = compare((&old, &parse(&old)?), (&new, &parse(&new)?));
    let breaking = report.count(Severity::Breaking);
    match as_json {
        true => json::print([&report])?,
        false if report.is_empty() => {}
        false => {
            let plural = if breaking == 1 { "" } else { "s" };
            let (notes, compatible) = (report.count(Severity::Note), report.count(Severity::Compatible));
            let summary = format!("{breaking} breaking change{plural}, {notes} to note, {compatible} compatible\n");
            print(&format!("{report}\n{summary}"))?;
        }
    }
    if breaking > 0 { Err(Failure::no("")) } else { Ok(()) }
}

/// Reads a manifest from a file, or all of stdin if the path is `-`, which blocks until stdin is closed. If both paths
/// are `-`, the second manifest is empty. Fails with status 2 if it can't be read or is not UTF-8.
fn read(path: &Path) -> Result<Source> {
    if path != Path::new("-") {
        return Source::read(path).map_err(|report| Failure::wrong(report.to_ansi_string()));
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("can't read the old manifest from stdin: {error}")))?;
    Ok(Source::new("<stdin>", text))
}
