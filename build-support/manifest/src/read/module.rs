//! Reads `[module]`.

use semver::Version;

use super::ManifestReader;
use super::shorthand::is_name;
use super::table_reader::TableReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::MODULE;
use crate::model::ModuleInfo;

/// The runtime target of modules that run as processes. The manifests of the Python and Node.js quick starts have it.
const PROCESS_TARGET: &str = "Process";

impl ManifestReader<'_> {
    /// `[module]`. `None` if the table, its name or its version is missing or of the wrong kind, which is reported. A name or a version
    /// of the wrong form is reported, and returned.
    pub(super) fn module(&mut self, root: &TableReader<'_>) -> Option<ModuleInfo> {
        let table = root.table("module", &MODULE, &mut self.errors)?;
        let name = table.string("name", &mut self.errors);
        let version = table.string("version", &mut self.errors);
        if let Some(name) = name.as_ref().filter(|name| !is_id_part(name.as_str())) {
            self.errors.push(
                Diagnostic::new(Code::InvalidName, "`name` in [module] can't be part of a module's id")
                    .at(name.span(), "expected ASCII letters, digits, `.`, `_`, `-` or `+`"),
            );
        }
        if let Some(version) = &version
            && let Err(error) = Version::parse(version.as_str())
        {
            self.errors.push(
                Diagnostic::new(Code::InvalidValue, "`version` in [module] is not a semantic version")
                    .at(version.span(), error.to_string())
                    .help("write it as `MAJOR.MINOR.PATCH`, such as `1.0.0`"),
            );
        }
        let [description, author, license] =
            ["description", "author", "license"].map(|key| table.text(key, &mut self.errors));
        let runtime_targets = self.runtime_targets(&table);
        Some(ModuleInfo { name: name?, version: version?, description, author, license, runtime_targets })
    }

    /// The runtime targets, without those that differ from an earlier one only in case. One with wrong characters, one that is there
    /// twice in the same spelling, and an item that is no string are reported and left out. Warns if there are some, but not
    /// [`PROCESS_TARGET`] in any case of its letters.
    fn runtime_targets(&mut self, table: &TableReader<'_>) -> Vec<String> {
        let mut targets = Vec::<String>::new();
        for target in table.strings("runtime_targets", &mut self.errors) {
            if !is_name(target.as_str()) {
                let message = format!("`{}` is no runtime target", target.as_str().escape_debug());
                let label = format!("expected a word such as `{PROCESS_TARGET}`");
                self.errors.push(Diagnostic::new(Code::InvalidName, message).at(target.span(), label));
            } else if targets.iter().all(|known| !known.eq_ignore_ascii_case(target.as_str())) {
                targets.push(target.to_string());
            }
        }
        if !targets.is_empty() && targets.iter().all(|target| !target.eq_ignore_ascii_case(PROCESS_TARGET)) {
            self.warnings.push(
                Diagnostic::new(Code::NotAProcess, "the module does not run as a process")
                    .at(table.value_span("runtime_targets"), format!("without `{PROCESS_TARGET}`"))
                    .help(format!("add \"{PROCESS_TARGET}\": that is what this host starts")),
            );
        }
        targets
    }
}

/// Whether a text can be the name in a module's id, `name:version/instance-001`: at least one character; ASCII letters, digits, `.`, `_`,
/// `-` and `+`.
fn is_id_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}
