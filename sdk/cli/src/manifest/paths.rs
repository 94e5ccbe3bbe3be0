//! Finds the manifests that a path on the command line stands for, for `ixt check` and `ixt generate`. Nothing is read
//! but directories. `module_dirs` finds the modules of `ixt run` and `ixt build`: in a directory itself, or in its
//! direct children.

use std::io;
use std::path::{Path, PathBuf};

use crate::children::children;
use crate::failure::{Failure, Result};

/// Names of directories that are not searched, because tools write into them. Hidden directories are not searched
/// either. Both hold for directories below the path, not for the path itself.
const SKIPPED: [&str; 2] = ["target", "node_modules"];

/// The path itself if it is not a directory, even if nothing is there: reading it then fails. For a directory, every
/// `manifest.toml` in it at any depth, or else the files ending in `.toml` directly in it. The list is sorted by path,
/// and each path begins with `path`, without a leading `./`. Symbolic links to directories are not followed below
/// `path`. Fails with status 2 if a directory has neither, or if it or one within it can't be read.
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

/// Adds every `manifest.toml` in `dir`, at any depth, to `found`, except for those in directories that are not
/// searched. Stops at the first directory that can't be read.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_stands_for_the_manifests_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let found = |of: &str| {
            let found = manifests(&dir.path().join(of)).unwrap();
            let names = found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string());
            names.collect::<Vec<_>>()
        };
        write("plain/b.toml");
        write("plain/a.toml");
        write("plain/a.txt");
        assert_eq!(found("plain"), ["plain/a.toml", "plain/b.toml"]);
        write("z/manifest.toml");
        write("a/b/manifest.toml");
        write("target/manifest.toml");
        write(".git/manifest.toml");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        assert_eq!(found(""), ["a/b/manifest.toml", "z/manifest.toml"]);
        assert_eq!(found("none.toml"), ["none.toml"], "reading it says what is wrong");
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(manifests(&dir.path().join("empty")).unwrap_err().text().contains("there is no manifest in "));
    }
}
