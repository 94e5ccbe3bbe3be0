//! How modules are built: what the command line and the host's file say of it, what people see meanwhile, and `ixt build`.

use std::sync::atomic::{AtomicBool, Ordering};

use ixt_host::{Build, BuildError, BuildOutput, Builds, Module, Program, ProgramError};
use serde_json::json;

use crate::args::{self, BuildOptions};
use crate::configuration::HostFile;
use crate::exit::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::{print, print_json, say, say_progress, stderr_columns};

/// `ixt build`: builds modules as `ixt run` does, and tells which programs came out.
pub(crate) fn build(args: &args::Build, json: bool) -> Result<()> {
    let file = HostFile::of(args.config.as_deref());
    let (modules, mut wrong) = crate::run::modules(&args.dirs)?;
    wrong.extend(file.check().err().unwrap_or_default());
    if !wrong.is_empty() {
        return Err(Failure::wrong(wrong.to_ansi_string()));
    }
    let builds = builds(&args.options, &file, &modules);
    let programs = crate::runtime::new()?.block_on(async {
        let mut interrupts = Interrupts::new().map_err(Failure::module)?;
        interrupts.or(builds.programs(&OnStderr::new())).await?.map_err(|error| failure(&error, &file, &modules))
    })?;
    for (module, program) in modules.iter().zip(&programs) {
        let (name, path) = (module.manifest().module.name.as_str(), program.path());
        if json {
            print_json(&json!({ "module": name, "program": path, "args": args_of(program) }).to_string())?;
        } else {
            print(&format!("{name}: {}\n", [&[path.display().to_string()], &*args_of(program)].concat().join(" ")))?;
        }
    }
    Ok(())
}

fn args_of(program: &Program) -> Vec<String> {
    program.args().iter().map(|arg| arg.display().to_string()).collect()
}

/// How these modules are built together.
pub(crate) fn builds(options: &BuildOptions, file: &HostFile, modules: &[Module]) -> Builds {
    let said = options.build();
    let mut all = file.build();
    all.features.extend(said.features.iter().cloned());
    all.profile = said.profile.clone().or(all.profile);
    all.bin = said.bin.or(all.bin);
    let mut builds = Builds::new(all);
    for module in modules {
        let table = file.modules.get(module.manifest().module.name.as_str());
        let mut build = table.map_or_else(Build::default, crate::configuration::ModuleTable::build);
        if said.profile.is_some() {
            build.profile = None;
        }
        builds.module(module.clone(), build);
    }
    builds
}

/// A feature or a program that no package has is a mistake of whoever has named it.
pub(crate) fn failure(error: &ProgramError, file: &HostFile, modules: &[Module]) -> Failure {
    let (path, key, name) = match error {
        ProgramError::Build(BuildError::UnknownProgram { path, name, .. }) => (path, "bin", name),
        ProgramError::Build(BuildError::UnknownFeature { path, name, .. }) => (path, "features", name),
        _ => return Failure::module(error),
    };
    let of_path = |path| modules.iter().find(|module| module.dir().join("Cargo.toml") == path);
    let module = path.clone().and_then(of_path).map(|module| module.manifest().module.name.as_str());
    match file.build_mistake(module, key, name, &error.to_string()) {
        Some(report) => Failure::wrong(report.to_ansi_string()),
        None => Failure::usage(error),
    }
}

/// What cargo says goes to stderr, with its progress if that is a terminal.
pub(crate) struct OnStderr {
    columns: Option<u16>,
    /// What cargo is at stands there.
    has_progress: AtomicBool,
}

impl OnStderr {
    pub(crate) fn new() -> Self {
        Self { columns: stderr_columns(), has_progress: AtomicBool::new(false) }
    }
}

impl BuildOutput for OnStderr {
    fn line(&self, line: &str) {
        self.progress("");
        say(&format!("{line}\n"));
    }

    fn progress(&self, text: &str) {
        if self.has_progress.swap(!text.is_empty(), Ordering::Relaxed) || !text.is_empty() {
            say_progress(text);
        }
    }

    fn columns(&self) -> Option<u16> {
        self.columns
    }
}

impl Drop for OnStderr {
    fn drop(&mut self) {
        self.progress("");
    }
}
