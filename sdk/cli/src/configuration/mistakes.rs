//! Collects the mistakes in the host's file, on the command line and in manifests, to report all of them at once.

use ixt_manifest::{Diagnostic, Report, Source};

use super::host_file::HostFile;

/// The mistakes so far. The default has none.
#[derive(Default)]
pub(super) struct ConfigMistakes {
    /// The mistakes in the host's file, besides those that its document already has.
    pub(super) in_file: Vec<Diagnostic>,
    /// The paths of keys in `config` and `config_from` of modules in the host's file whose values a report may show.
    /// The other values of these tables and of `env` are hidden, because they may be secret.
    pub(super) not_secret: Vec<Vec<String>>,
    /// The mistakes on the command line and in manifests. With mistakes of a manifest it may have warnings too.
    pub(super) elsewhere: Report,
}

impl ConfigMistakes {
    /// Adds a mistake on the command line. The report does not show the command line, which may hold a secret; the
    /// message has to say which option it is.
    pub(super) fn on_command_line(&mut self, diagnostic: Diagnostic) {
        self.in_manifest(&Source::new("", ""), diagnostic);
    }

    /// Adds a mistake in a manifest, whose text is `source`. The same mistake twice stays twice.
    pub(super) fn in_manifest(&mut self, source: &Source, diagnostic: Diagnostic) {
        self.elsewhere.extend(Report::new(source, vec![diagnostic]));
    }

    /// The error is a report of all mistakes, those of the file first, with those that its document has found itself.
    /// Warnings come last. `Ok` if there are none.
    pub(super) fn report(self, file: &HostFile) -> Result<(), Report> {
        let mut report = file.document.report(self.in_file, &self.not_secret);
        report.extend(self.elsewhere);
        if report.is_empty() { Ok(()) } else { Err(report) }
    }
}
