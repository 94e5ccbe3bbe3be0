//! The text of a manifest or of the host's file, with the path that diagnostics show for it. `source_file` reads one from a
//! file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A range in the text of a [`Source`], in bytes; the byte at its end is not part of it. Both ends are at the boundary of a
/// character. It may be empty, as at the end of the text.
pub type Span = Range<usize>;

/// The text of a manifest and its path. Cloning is cheap: clones share the text. Two are equal if both their paths and their
/// texts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    path: String,
    text: String,
}

impl Source {
    /// A text that is already in memory. Diagnostics show `path`, and paths in the manifest are relative to its directory. Nothing
    /// is read or checked: no file needs to exist at `path`, and the text may have mistakes.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner { path: path.into(), text: text.into() }))
    }

    /// The path that diagnostics show, as it was given; a relative one stays relative to the current directory.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The text of the manifest, unchanged.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The path of a file that the manifest names: `path` itself if it is absolute, otherwise `path` in the directory of
    /// [`path`](Self::path). `..` and links are not resolved, and the file may be missing.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        Path::new(self.path()).parent().unwrap_or(Path::new("")).join(path)
    }

    /// The line and the column of the byte at `offset`, both counted from 1; the column in characters (Unicode scalar values).
    /// A line ends with `\n`. `offset` may be the length of the text.
    ///
    /// # Panics
    ///
    /// If `offset` is beyond the end of the text, or within a character.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text()[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.bytes().filter(|byte| *byte == b'\n').count(), 1 + before[line_start..].chars().count())
    }
}
