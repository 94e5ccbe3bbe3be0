//! The program of a module as its manifest declares it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::program::file_check::FileCheck;
use crate::program::pinned::PinnedFile;
use crate::{Module, Program, ProgramError};

impl Module {
    /// The program at `path` in `[artifacts.process]`, with the arguments that stand there, if it is what the manifest says it is; or
    /// `None`, where cargo is to build one.
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
            // Now too, so that what is wrong from the beginning is told before anything is started.
            tokio::task::spawn_blocking(move || check.open()).await.map_err(|error| unreadable(error.into()))??;
        }
        let mut outside = Vec::from_iter(is_outside.then_some(real));
        let program = match &process.interpreter {
            None => Program::new(file),
            // One with a slash lies with the module; others are found on the PATH. Neither it nor the program is resolved where it
            // is a link: what is linked to may do what the link's name says, as with a virtual environment of Python.
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
            // A virtual environment's is a link out of it, so that it only matters where that is.
            && let Some(place) = program.path().parent().and_then(|place| fs::canonicalize(place).ok())
            && !place.starts_with(&dir)
        {
            outside.push(program.path().to_owned());
        }
        Ok(Some(Program { check, outside, ..program }))
    }

    /// The program that cargo has built, with the arguments of `[artifacts.process]`.
    pub(crate) fn built_program(&self, path: PathBuf) -> Program {
        let pinned = PinnedFile::new(&path);
        let program = Program { pinned, ..Program::new(path) };
        self.manifest().process.args.iter().fold(program, Program::arg)
    }
}
