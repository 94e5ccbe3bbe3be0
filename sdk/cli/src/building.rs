//! Builds modules with cargo, for `ixt build`, `ixt run` with its reloads, and `ixt call --module`: the options of the command line and of
//! the host's file, cargo's output on stderr, and its errors. `ixt_host::Builds` runs cargo, and finds the programs of modules that are not
//! built.

use std::sync::atomic::{AtomicBool, Ordering};

use ixt_host::{Build, BuildError, BuildOutput, Builds, Module, Program, ProgramError};
use serde_json::json;

use crate::args::{BuildArgs, BuildOptions};
use crate::configuration::{HostFile, ModuleTable};
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::module_dirs::modules;
use crate::output::{print, print_json, say, say_progress, stderr_columns};

/// `ixt build`: builds modules as `ixt run` does. When all are built, prints a line for each, in the order of `args`: its name, and the
/// program with the arguments that `ixt run` would start, separated by spaces, without quotes; with `json`, an object with `module`,
/// `program` and `args`.
///
/// Nothing is built if there is a mistake in a manifest or in the host's file: that fails with status 2. Configurations, unknown modules in
/// the file, and modules of the same name are not looked at. A signal ends the build. For other errors of the build see [`failure`].
pub(crate) fn build(args: &BuildArgs, json: bool) -> Result<()> {
    let file = HostFile::of(args.config.as_deref());
    let (modules, mut mistakes) = modules(&args.dirs)?;
    mistakes.extend(file.check().err().unwrap_or_default());
    if !mistakes.is_empty() {
        return Err(Failure::wrong(mistakes.to_ansi_string()));
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

/// The program's arguments as text, in their order; what is not UTF-8 is replaced. Empty if it has none.
fn args_of(program: &Program) -> Vec<String> {
    program.args().iter().map(|arg| arg.display().to_string()).collect()
}

/// The builds of these modules, in the same order. Of several with the same name only the last is built, in the place of the first;
/// `ixt run` refuses them before. Nothing is built or checked yet. An option of the command line overrides the file, with two exceptions:
/// features add up, and `bin` of `[modules.NAME.build]` takes precedence for its module.
pub(crate) fn builds(options: &BuildOptions, file: &HostFile, modules: &[Module]) -> Builds {
    let given = options.build();
    let mut all = file.build();
    all.features.extend(given.features.iter().cloned());
    all.profile = given.profile.clone().or(all.profile);
    all.bin = given.bin.or(all.bin);
    let mut builds = Builds::new(all);
    for module in modules {
        let table = file.modules.get(module.manifest().module.name.as_str());
        let mut build = table.map_or_else(Build::default, ModuleTable::build);
        if given.profile.is_some() {
            build.profile = None;
        }
        builds.module(module.clone(), build);
    }
    builds
}

/// The failure for modules that could not be built: status 2 for a named feature or program that does not exist, with its line in `file` if
/// it is named there; status 3 for anything else. `modules` are those among which the error's package is looked up. If it is none of them,
/// only `[build]` of `file` is looked at.
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

/// Shows cargo's output on stderr; also its progress, if stderr is a terminal. It blocks while stderr takes no more. When it is dropped, it
/// clears the line with the progress, if there is one.
pub(crate) struct OnStderr {
    /// The width of the terminal on stderr when this was made; `None` if stderr is no terminal.
    columns: Option<u16>,
    /// Whether the last line on stderr shows progress.
    has_progress: AtomicBool,
}

impl OnStderr {
    /// Looks now whether stderr is a terminal, and how wide it is; a later change is not noticed. Prints nothing.
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
