//! Finds the modules in the directories on the command line of `ixt run` and `ixt build`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ixt_host::Module;
use ixt_manifest::Report;

use crate::children::children;
use crate::failure::{Failure, Result};

/// Opens the modules of these directories, in the order of the directories. A directory with a file `manifest.toml` is a module; of any
/// other directory its direct children that have one are modules, in the order of their names, hidden ones and symbolic links too. A
/// directory that is given twice is opened twice. Blocks.
///
/// The report has the mistakes of the manifests that can't be used; it is empty if there are none. Their modules are missing from the list,
/// and the caller decides whether to go on. Whether two modules fit together is not checked here. Fails with status 2 if a directory can't
/// be read, or holds no module, without a look at the next ones.
pub(crate) fn modules(dirs: &[PathBuf]) -> Result<(Vec<Module>, Report)> {
    let (mut modules, mut mistakes) = (Vec::new(), Report::default());
    for dir in dirs {
        let found =
            module_dirs(dir).map_err(|error| Failure::usage(format!("can't read {}: {error}", dir.display())))?;
        if found.is_empty() {
            let dir = dir.display();
            let message = format!("{dir} is no module, and none of its children is one: there is no manifest.toml");
            return Err(Failure::usage(message));
        }
        for dir in found {
            match Module::open(dir) {
                Ok(module) => modules.push(module),
                Err(report) => mistakes.extend(report),
            }
        }
    }
    Ok((modules, mistakes))
}

/// The absolute paths of the modules in `dir`: `dir` itself, or those of its children, sorted. Links in `dir` are resolved, a child that is
/// a link is not. Empty if there is none.
fn module_dirs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = fs::canonicalize(dir)?;
    let is_module = |dir: &PathBuf| dir.join("manifest.toml").is_file();
    if is_module(&dir) {
        return Ok(vec![dir]);
    }
    let mut dirs = children(&dir)?;
    dirs.retain(is_module);
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_module_or_holds_modules() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let module = dir.path().join(name);
            fs::create_dir_all(&module).unwrap();
            fs::write(module.join("manifest.toml"), text).unwrap();
            module
        };
        let manifest =
            |name: &str| format!("schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
        write("zebra", &manifest("zebra"));
        let ape = write("ape", &manifest("ape"));
        write("wrong", "schema_version = 3\n");
        write("ape/inner", &manifest("inner"));
        fs::create_dir(dir.path().join("empty")).unwrap();
        let names = |dirs: &[PathBuf]| {
            let (modules, mistakes) = modules(dirs).unwrap();
            let names: Vec<_> = modules.iter().map(|module| module.manifest().module.name.to_string()).collect();
            (names, mistakes.is_empty())
        };
        // Not what lies deeper, and what is right although another one is not.
        assert_eq!(names(&[dir.path().to_owned()]), (vec!["ape".to_owned(), "zebra".to_owned()], false));
        assert_eq!(names(&[ape]), (vec!["ape".to_owned()], true));
        for (name, says) in [("empty", "none of its children is one"), ("none", "can't read ")] {
            let failure = modules(&[dir.path().join(name)]).unwrap_err();
            assert!(failure.text().contains(says), "{failure:?}");
        }
    }
}
