//! `ixt check` and `ixt generate`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ixt_build::{Generated, Options, Report, Severity, Source};

use crate::exit::{Failure, Result, say};

pub(crate) fn check(files: &[PathBuf]) -> Result<()> {
    let reports: Vec<Report> =
        files.iter().map(|file| code(file).map_or_else(|report| report, |generated| generated.warnings)).collect();
    let found: Vec<_> = reports.iter().filter(|report| !report.is_empty()).collect();
    if found.is_empty() {
        return Ok(());
    }
    let text = found.iter().map(|report| report.to_ansi_string()).collect::<Vec<_>>().join("\n");
    let count = |severity, name| match reports.iter().map(|report| report.count(severity)).sum::<usize>() {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    };
    let (errors, warnings) = (count(Severity::Error, "error"), count(Severity::Warning, "warning"));
    let text = format!("{text}\n{errors}, {warnings}, in {} of {} checked\n", found.len(), files.len());
    if reports.iter().any(|report| report.count(Severity::Error) > 0) {
        return Err(Failure::no(text));
    }
    say(&text);
    Ok(())
}

pub(crate) fn generate(file: &Path) -> Result<()> {
    let generated = code(file).map_err(|report| Failure::no(report.to_ansi_string()))?;
    say(&generated.warnings.to_ansi_string());
    print(&generated.code)
}

/// What a build script would do: only that finds everything that it would complain about.
fn code(file: &Path) -> std::result::Result<Generated, Report> {
    ixt_build::generate(&Source::read(file)?, &Options::default())
}

/// To stdout. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("can't write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
