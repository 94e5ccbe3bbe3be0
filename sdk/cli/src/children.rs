//! What is directly in a directory, for `manifest::paths` and `module_dirs`, which search below a path of the command line.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The paths of everything directly in `dir`, sorted: files, directories and symbolic links, hidden ones too. Empty if there is nothing.
/// Each path begins with `dir`, without a leading `./`: in the current directory, `.`, they are plain names. Fails if `dir` is no
/// directory, or can't be read to its end.
pub(crate) fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let plain = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    let mut children = fs::read_dir(dir)?.map(|child| Ok(plain(child?.path()))).collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}
