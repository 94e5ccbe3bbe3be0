//! Reads manifests from disk.

use std::path::Path;

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::source::Source;
use crate::text::harmless;

impl Source {
    /// Reads the file at `path`, which becomes the path of the source; in it, what is not UTF-8 is replaced by U+FFFD. The text is
    /// not parsed. Blocks until the file is read, whatever its size.
    ///
    /// # Errors
    ///
    /// A report with one diagnostic, [`Code::Unreadable`], if the file can't be read or is not UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Report> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        match read_text(path) {
            Ok(text) => Ok(Self::new(shown, text)),
            Err(reason) => {
                let diagnostic =
                    Diagnostic::new(Code::Unreadable, format!("can't read `{}`: {reason}", harmless(&shown)));
                Err(Report::new(&Self::new(shown, ""), vec![diagnostic]))
            }
        }
    }
}

/// The text of the file at `path`. The error says in words why it can't be read, or in which line it is not UTF-8; the path is
/// not in it.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("it is not UTF-8: the first wrong byte is in line {line}; save the file as UTF-8")
    })
}
