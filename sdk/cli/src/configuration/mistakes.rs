//! Collects everything that is wrong, to report it at once: in the host's file, on the command line and in manifests.

use ixt_manifest::{Diagnostic, Report, Source};

use super::host_file::HostFile;

#[derive(Default)]
pub(super) struct ConfigMistakes {
    /// In the host's file, beside the mistakes that its document has already.
    pub(super) in_file: Vec<Diagnostic>,
    /// The keys in the host's file whose values a report may show. All other values of modules are hidden, because they may be secret.
    pub(super) not_secret: Vec<Vec<String>>,
    /// On the command line and in manifests.
    pub(super) elsewhere: Report,
}

impl ConfigMistakes {
    /// Adds a mistake on the command line. It is reported without a line, because a secret may stand there.
    pub(super) fn on_command_line(&mut self, diagnostic: Diagnostic) {
        self.in_manifest(&Source::new("", ""), diagnostic);
    }

    /// Adds a mistake in a manifest.
    pub(super) fn in_manifest(&mut self, source: &Source, diagnostic: Diagnostic) {
        self.elsewhere.extend(Report::new(source, vec![diagnostic]));
    }

    /// The report of all mistakes, those of the file first, if there are any.
    pub(super) fn report(self, file: &HostFile) -> Result<(), Report> {
        let mut report = file.document.report(self.in_file, &self.not_secret);
        report.extend(self.elsewhere);
        if report.is_empty() { Ok(()) } else { Err(report) }
    }
}
