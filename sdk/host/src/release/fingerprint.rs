//! Finds out whether the files from which a module is started have changed on disk, for [`Host::reload_changed`], which
//! only replaces modules that have changed (SIGHUP). `file_check` compares a file with the manifest instead.
//!
//! [`Host::reload_changed`]: crate::Host::reload_changed

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::release::deployment::Deployment;

/// The files that belong to a module's program, each with its inode, size and modification time (seconds and
/// nanoseconds). Two fingerprints are equal if they have the same paths, with the same values. File contents are not
/// read, so a file that was written again with the same content has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

/// The most files of a module in a fingerprint. Changes of further ones are not noticed.
const MAX_FILES: usize = 10_000;
/// Names of directories that are not looked at: tools have made their files, not the module's author. Nor are
/// directories looked at whose names begin with a dot.
const NOT_ITS_OWN: [&str; 5] = ["target", "node_modules", "__pycache__", "venv", "site-packages"];

impl Fingerprint {
    /// Looks at the program, and at its arguments that are absolute paths of files. If the manifest names a file with
    /// an extension, such as `main.py`, also looks at the files with that extension in the module's directory and the
    /// directories in it, up to [`MAX_FILES`] and except in those that are [`NOT_ITS_OWN`], since the program may load
    /// them. A file that can't be seen is left out, and so is a program that is looked up on the `PATH`. Blocks.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let mut fingerprint = Self::default();
        let program = &deployment.program;
        let args = program.args().iter().map(Path::new);
        for path in args.chain([program.path()]).filter(|path| path.is_absolute()) {
            fingerprint.add(path, &fs::metadata(path));
        }
        let process = &deployment.module.manifest().process;
        let file = process.entry.as_deref().or(process.path.as_ref().map(ixt_manifest::Name::as_str)).map(Path::new);
        if let Some(extension) = file.and_then(Path::extension) {
            fingerprint.add_dir(deployment.module.dir(), extension);
        }
        fingerprint
    }

    /// Adds a file. A path that is not a regular file, or can't be seen, is left out.
    fn add(&mut self, path: &Path, metadata: &std::io::Result<Metadata>) {
        if let Ok(metadata) = metadata
            && metadata.is_file()
        {
            let seen = (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
            self.0.insert(path.to_owned(), seen);
        }
    }

    /// Adds the files with this extension in a directory and the directories in it, up to [`MAX_FILES`]. Links to files
    /// are followed, links to directories are not.
    fn add_dir(&mut self, dir: &Path, extension: &std::ffi::OsStr) {
        let mut open = vec![dir.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let is_its_own =
                    !name.as_encoded_bytes().starts_with(b".") && NOT_ITS_OWN.iter().all(|other| name != *other);
                // Of a link, its own type: a link to a directory is not followed, since it could lead in a circle.
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && is_its_own {
                    open.push(path);
                } else if path.extension() == Some(extension) && self.0.len() < MAX_FILES {
                    self.add(&path, &fs::metadata(&path));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::module::Module;
    use crate::program::Program;

    #[test]
    fn what_a_module_loads_is_part_of_it_and_what_it_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[artifacts.process]\n\
                        path = \"main.py\"\ninterpreter = \"python3\"\n";
        put("manifest.toml", manifest);
        put("main.py", "");
        let fingerprint = || {
            let module = Module::open(dir.path()).unwrap();
            let program = Program::new("python3").arg(dir.path().join("main.py"));
            Fingerprint::of(&Deployment::new(&module, program, &Config::of(module.manifest())).unwrap())
        };
        let first = fingerprint();
        for (path, is_seen) in [
            ("data.db", false),
            ("__pycache__/main.py", false),
            (".venv/lib/other.py", false),
            ("lib/other.py", true),
            ("lib/other.py", true),
            ("main.py", true),
        ] {
            let before = fingerprint();
            put(path, &format!("# {}", before.0.values().map(|seen| seen.1).sum::<u64>()));
            assert_eq!(fingerprint() != before, is_seen, "{path}");
        }
        assert_ne!(fingerprint(), first);
        assert_eq!(fingerprint(), fingerprint());
    }
}
