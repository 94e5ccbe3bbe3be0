//! The text of a manifest and the name by which diagnostics call it. Used by whoever reads manifests from disk: the
//! build script's side, the command and the host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::text::harmless;
use crate::{Code, Diagnostic, Report};

/// A manifest's text, with the path that diagnostics show for it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    path: String,
    text: String,
}

impl Source {
    /// Text that is already at hand. `path` is shown, and what a manifest names beside it is looked for from there.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner { path: path.into(), text: text.into() }))
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// A report without a snippet if the file can't be read or isn't UTF-8, which TOML requires.
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

    /// The path that diagnostics show.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The manifest's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// A path that the manifest names: relative to the directory that the manifest is in.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        Path::new(self.path()).parent().unwrap_or(Path::new("")).join(path)
    }

    /// The line and the column, in characters and from 1, of a byte in the text.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text()[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.bytes().filter(|byte| *byte == b'\n').count(), 1 + before[line_start..].chars().count())
    }
}

/// The text of a file, or in words why there is none.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("it is not UTF-8: the first wrong byte is in line {line}; save the file as UTF-8")
    })
}
