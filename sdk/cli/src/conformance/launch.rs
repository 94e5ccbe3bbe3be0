//! The command that starts the module for a check: the one after `--`, or that of the manifest's `[artifacts.process]`.
//! It does not build anything.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use ixt_manifest::Manifest;

use crate::args::ConformanceArgs;
use crate::failure::{Failure, Result};

/// A command with its directory and environment. `process` starts it.
#[derive(Debug)]
pub(super) struct LaunchCommand {
    /// A path, or a name that is looked up in `PATH`.
    pub(super) program: OsString,
    /// Its arguments, without the program itself.
    pub(super) args: Vec<OsString>,
    /// The variables that the manifest sets. All variables of `ixt` are passed on too, whatever the manifest's `pass`
    /// says, and `IXT_IPC_SOCKET` and `IXT_MODULE_ID` are added.
    pub(super) env: Vec<(String, String)>,
    /// The current directory of the process: that of the manifest.
    pub(super) dir: PathBuf,
    /// The value of `IXT_MODULE_ID`: `NAME:VERSION/instance-001`.
    pub(super) module_id: String,
}

impl LaunchCommand {
    /// A usage error if neither the command line nor the manifest names a program. A failure with status 3 if the
    /// manifest's directory can't be entered. The program is not looked for.
    pub(super) fn new(args: &ConformanceArgs, manifest: &Manifest) -> Result<Self> {
        let no_dir = |error: io::Error| Failure::module(format!("can't enter the manifest's directory: {error}"));
        let dir = args.manifest.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = dir.canonicalize().map_err(no_dir)?;
        let (program, program_args) = match (args.command.split_first(), &manifest.process.path) {
            (Some((program, rest)), _) => {
                // A relative path starts at the current directory of `ixt`, and the module runs in another one.
                let path = Path::new(program);
                let is_path = path.components().count() > 1;
                let program = if is_path { std::path::absolute(path).map_err(no_dir)?.into() } else { program.clone() };
                (program, rest.to_vec())
            }
            (None, Some(path)) => of_manifest(manifest, path.as_str(), &dir),
            (None, None) => {
                let path = args.manifest.display();
                let error = format!(
                    "there is nothing to start: give a command after `--`, or {path} an [artifacts.process] with a `path`"
                );
                return Err(Failure::usage(error));
            }
        };
        let env = manifest.env.set.iter().map(|variable| (variable.name.to_string(), variable.value.clone())).collect();
        let module_id = format!("{}:{}/instance-001", manifest.module.name, manifest.module.version);
        Ok(Self { program, args: program_args, env, dir, module_id })
    }
}

/// The program and its arguments, as a host would start them. An interpreter with a slash in its name is a file of the
/// module; otherwise it is looked up in `PATH`.
fn of_manifest(manifest: &Manifest, path: &str, dir: &Path) -> (OsString, Vec<OsString>) {
    let process = &manifest.process;
    let file: PathBuf = [path].into_iter().chain(process.entry.as_deref()).collect();
    let file = dir.join(file).into_os_string();
    let (program, mut args) = match &process.interpreter {
        Some(interpreter) if interpreter.contains('/') => (dir.join(interpreter).into(), vec![file]),
        Some(interpreter) => (OsString::from(interpreter), vec![file]),
        None => (file, Vec::new()),
    };
    args.splice(0..0, process.interpreter_args.iter().map(OsString::from));
    args.extend(process.args.iter().map(OsString::from));
    (program, args)
}

#[cfg(test)]
mod tests {
    use ixt_manifest::Source;

    use super::*;

    #[test]
    fn a_manifest_says_what_is_started() {
        let command = |process: &str| {
            let text = format!(
                "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[artifacts.process]\n{process}"
            );
            let manifest = Manifest::parse(&Source::new("manifest.toml", text)).unwrap();
            let path = manifest.process.path.clone().unwrap();
            let (program, args) = of_manifest(&manifest, path.as_str(), Path::new("/m"));
            let words = [program].into_iter().chain(args).map(|word| word.into_string().unwrap());
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(command("path = \"bin/m\"\nargs = [\"-v\"]"), "/m/bin/m -v");
        let python = "path = \"src\"\nentry = \"main.py\"\ninterpreter = \"python3\"\ninterpreter_args = [\"-u\"]\nargs = [\"-v\"]";
        assert_eq!(command(python), "python3 -u /m/src/main.py -v");
        assert_eq!(command("path = \"main.py\"\ninterpreter = \"venv/bin/python\""), "/m/venv/bin/python /m/main.py");
    }
}
