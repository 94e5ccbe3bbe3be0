//! Runs one `cargo build` for several packages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, io};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::build::cargo::{RunningCargo, command};
use crate::build::output::{BuildOutput, pass_on};
use crate::build::package::CargoTarget;
use crate::build::plan::PackagePlan;
use crate::guard::Guard;
use crate::program::BuildError;

/// The part of a message of cargo's `--message-format=json` that is used here.
#[derive(Deserialize)]
struct CargoMessage {
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<CargoTarget>,
}

/// Builds the programs of the packages in `wanted`, with the features of all packages in `beside`, which include
/// `wanted`, are not empty, and share the directory and the profile. Returns the paths of the modules' programs, in the
/// order of `wanted`. When the future is dropped, cargo is killed.
///
/// # Errors
///
/// [`BuildError::Failed`] with all of `wanted` if cargo fails or reports no program for one of them;
/// [`BuildError::NoCargo`] if it can't be run.
pub(super) async fn build(
    beside: &[&PackagePlan],
    wanted: &[&PackagePlan],
    guard: Option<&Guard>,
    output: &dyn BuildOutput,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut cargo = command(&beside[0].place);
    cargo.args(["build", "--message-format=json-render-diagnostics", "--profile", &beside[0].profile]);
    for plan in beside {
        // By its id, since a dependency may have the same name.
        cargo.args(["--package", &plan.package.id]);
        for feature in &plan.features {
            let is_own = !feature.contains('/');
            cargo.arg("--features");
            cargo.arg(if is_own { format!("{}/{feature}", plan.package.name) } else { feature.clone() });
        }
    }
    for program in wanted.iter().flat_map(|plan| &plan.programs) {
        cargo.args(["--bin", program]);
    }
    if let Some(columns) = output.columns() {
        cargo.arg("--color=always");
        if env::var_os("CARGO_TERM_PROGRESS_WHEN").is_none() {
            cargo.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", columns.to_string());
        }
    }
    let no_cargo = |error| BuildError::NoCargo { error };
    let (running, stdout, stderr) = RunningCargo::start(cargo, guard).map_err(no_cargo)?;
    let messages = async {
        let mut programs = BTreeMap::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Dependencies may have programs too, and build scripts have an `executable`.
            if let Ok(CargoMessage { package_id: Some(id), executable: Some(executable), target: Some(target) }) =
                serde_json::from_str(&line)
                && target.is_program()
            {
                programs.insert((id, target.name), executable);
            }
        }
        io::Result::Ok((programs, running.ended().await?))
    };
    let (messages, held_back) = tokio::join!(messages, pass_on(stderr, output));
    let (mut programs, status) = messages.map_err(no_cargo)?;
    if !status.success() {
        for line in &held_back {
            output.line(line);
        }
    }
    let built = wanted.iter().map(|plan| programs.remove(&(plan.package.id.clone(), plan.program.clone()))).collect();
    let built: Option<Vec<_>> = Some(built).filter(|_| status.success()).flatten();
    built.ok_or_else(|| BuildError::Failed { paths: wanted.iter().map(|plan| plan.path.clone()).collect() })
}
