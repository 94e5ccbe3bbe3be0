//! `ixt check` and `ixt generate`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ixt_build::{Report, Source};

use crate::exit::{Failure, Result};

pub(crate) fn check(files: &[PathBuf]) -> Result<()> {
    let reports: Vec<Report> = files.iter().filter_map(|file| code(file).err()).collect();
    if reports.is_empty() {
        return Ok(());
    }
    let text = reports.iter().map(Report::to_ansi_string).collect::<Vec<_>>().join("\n");
    let errors: usize = reports.iter().map(|report| report.diagnostics().len()).sum();
    let plural = if errors == 1 { "" } else { "s" };
    let summary = format!("\n{errors} error{plural}, in {} of {} checked\n", reports.len(), files.len());
    Err(Failure::no(text + &summary))
}

pub(crate) fn generate(file: &Path) -> Result<()> {
    let code = code(file).map_err(|report| Failure::no(report.to_ansi_string()))?;
    print(&code)
}

/// What a build script would do: only that finds everything that it would complain about.
fn code(file: &Path) -> std::result::Result<String, Report> {
    ixt_build::generate(&Source::read(file)?)
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
