//! What is directly in a directory.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The paths of everything directly in `dir`, hidden files too, sorted. Each path begins with `dir`, without a leading `./`: in the current
/// directory, `.`, they are plain names. Fails if `dir` is no directory or can't be read.
pub(crate) fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let plain = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    let mut children = fs::read_dir(dir)?.map(|child| Ok(plain(child?.path()))).collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}
