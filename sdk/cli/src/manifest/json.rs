//! The diagnostics of manifests as JSON, for programs: `ixt check --json` and `ixt diff --json`.

use ixt_manifest::{Diagnostic, Place, Report};
use serde_json::{Value, json};

use crate::failure::Result;
use crate::output::print_json;

/// Prints the diagnostics to stdout, one object a line: report by report, and within one in its order. Nothing is
/// printed if there are none.
pub(crate) fn print<'r>(reports: impl IntoIterator<Item = &'r Report>) -> Result<()> {
    let mut diagnostics = reports.into_iter().flat_map(Report::diagnostics);
    diagnostics.try_for_each(|diagnostic| print_json(&to_json(diagnostic).to_string()))
}

/// A diagnostic as an object. `place` and `help` are null if there is none; `related` and `notes` are arrays, empty if
/// there are none. The texts are as in the diagnostic.
fn to_json(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": diagnostic.severity().as_str(),
        "code": diagnostic.code(),
        "message": diagnostic.message(),
        "place": diagnostic.place().map(place),
        "related": diagnostic.related_places().iter().map(place).collect::<Vec<_>>(),
        "notes": diagnostic.notes(),
        "help": diagnostic.help_text(),
    })
}

/// A place as an object. Lines and columns count from 1, columns in characters; the end is exclusive, and may be on
/// another line. `file` is the manifest's path, relative if the path on the command line is, or `<stdin>`; `label` may
/// be empty.
fn place(place: &Place) -> Value {
    let (source, span) = (place.source(), place.span());
    let (start, end) = (source.line_column(span.start), source.line_column(span.end));
    json!({
        "file": source.path(),
        "line": start.0,
        "column": start.1,
        "end_line": end.0,
        "end_column": end.1,
        "label": place.label(),
    })
}
