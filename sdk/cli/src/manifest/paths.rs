//! Which manifests a path on the command line stands for.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::failure::{Failure, Result};

/// Directories that hold no manifests of an author's own.
const SKIPPED: [&str; 2] = ["target", "node_modules"];

/// A file stands for itself; a directory for every `manifest.toml` in it, at any depth, or, if there is none, for the
/// `.toml` files directly in it.
pub(crate) fn manifests(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: io::Error| Failure::usage(format!("can't read `{}`: {error}", path.display()));
    let mut found = Vec::new();
    find(path, &mut found).map_err(failed)?;
    if found.is_empty() {
        found = children(path).map_err(failed)?;
        found.retain(|file| file.extension().is_some_and(|extension| extension == "toml") && file.is_file());
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("there is no manifest in `{}`", path.display())));
    }
    Ok(found)
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for child in children(dir)? {
        let name = child.file_name().unwrap_or_default().to_string_lossy();
        if child.is_dir() && !child.is_symlink() {
            if !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                find(&child, found)?;
            }
        } else if name == "manifest.toml" {
            found.push(child);
        }
    }
    Ok(())
}

/// What is in a directory, sorted.
fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    // Not `./manifest.toml`, which nobody would write.
    let plain = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    let mut children = fs::read_dir(dir)?.map(|child| Ok(plain(child?.path()))).collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}
