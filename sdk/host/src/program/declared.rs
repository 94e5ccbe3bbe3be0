//! The program of a module as its manifest declares it, in `[artifacts.process]`. Which program cargo builds is decided
//! in `build/`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::module::Module;
use crate::program::Program;
use crate::program::error::ProgramError;
use crate::program::file_check::FileCheck;
use crate::program::pinned::PinnedFile;

impl Module {
    /// The program that `[artifacts.process]` names, with its arguments. Its file must exist. It is checked here
    /// against `sha256` and `size_bytes`, if the manifest has them, and again before each start. `None` if the manifest
    /// has no `path` there: then cargo has to build the package in the module's directory.
    ///
    /// # Errors
    ///
    /// [`Nothing`](ProgramError::Nothing) without a `path` and without a `Cargo.toml`,
    /// [`Unreadable`](ProgramError::Unreadable), [`Different`](ProgramError::Different), and
    /// [`Outside`](ProgramError::Outside).
    pub(crate) async fn declared_program(&self) -> Result<Option<Program>, ProgramError> {
        let process = &self.manifest().process;
        let Some(path) = &process.path else {
            if !self.dir().join("Cargo.toml").is_file() {
                return Err(ProgramError::Nothing { dir: self.dir().to_owned() });
            }
            return Ok(None);
        };
        let mut file = self.dir().join(path.as_str());
        if let Some(entry) = &process.entry {
            file.push(entry);
        }
        let unreadable = |error| ProgramError::Unreadable { path: file.clone(), error };
        let real = fs::canonicalize(&file).map_err(unreadable)?;
        if fs::metadata(&real).map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::Error::other("it is a directory; `entry` names the file in it")));
        }
        let dir = fs::canonicalize(self.dir()).map_err(unreadable)?;
        let is_outside = !real.starts_with(&dir);
        if is_outside && process.sha256.is_some() {
            return Err(ProgramError::Outside { path: real, dir });
        }
        let (sha256, size_bytes) = (process.sha256.clone(), process.size_bytes);
        let check = FileCheck { file: file.clone(), sha256, size_bytes };
        let check = Some(check).filter(|check| check.sha256.is_some() || check.size_bytes.is_some());
        if let Some(check) = check.clone() {
            // Checked here too, so that a wrong file is reported before any module is started.
            tokio::task::spawn_blocking(move || check.open()).await.map_err(|error| unreadable(error.into()))??;
        }
        let mut outside = Vec::from_iter(is_outside.then_some(real));
        let program = match &process.interpreter {
            None => Program::new(file),
            // An interpreter with a slash is relative to the module's directory; others are looked up on the PATH.
            // Links are not resolved: the interpreter may depend on the path by which it is called, as in a virtual
            // environment of Python.
            Some(interpreter) => {
                let interpreter = if interpreter.contains('/') {
                    Program::new(self.dir().join(interpreter))
                } else {
                    Program::new(interpreter)
                };
                process.interpreter_args.iter().fold(interpreter, Program::arg).arg(file)
            }
        };
        let program = process.args.iter().fold(program, Program::arg);
        if let Some(interpreter) = &process.interpreter
            && interpreter.contains('/')
            && Path::new(interpreter).is_relative()
            // The interpreter of a virtual environment is a link to a file outside of it: what counts is where the link
            // is.
            && let Some(place) = program.path().parent().and_then(|place| fs::canonicalize(place).ok())
            && !place.starts_with(&dir)
        {
            outside.push(program.path().to_owned());
        }
        Ok(Some(Program { check, outside, ..program }))
    }

    /// The program at `path` that cargo has built, with the arguments of `[artifacts.process]`. The file is kept open,
    /// if it can be opened, so that this program can be started even after another build.
    pub(crate) fn built_program(&self, path: PathBuf) -> Program {
        let pinned = PinnedFile::new(&path);
        let program = Program { pinned, ..Program::new(path) };
        self.manifest().process.args.iter().fold(program, Program::arg)
    }
}
