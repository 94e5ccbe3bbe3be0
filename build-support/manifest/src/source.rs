//! The text of a manifest and the name by which diagnostics call it. Used by whoever reads manifests from disk: the
//! build script's side and the host.

use std::path::Path;

use crate::{Diagnostic, Report};

/// A manifest's text, with the path that diagnostics show for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Text that is already at hand. `path` is only shown, never opened.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// A report without a snippet if the file can't be read or isn't UTF-8, which TOML requires.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Report> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let failed = |message: String| Report::new(Self::new(&shown, ""), vec![Diagnostic::new(message)]);
        let bytes = std::fs::read(path).map_err(|error| failed(format!("can't read `{shown}`: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            failed(format!("`{shown}` is not UTF-8: the first wrong byte is in line {line}; save the file as UTF-8"))
        })?;
        Ok(Self { path: shown, text })
    }

    /// The path that diagnostics show.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The manifest's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
