//! How long a build script takes for an interface of 10, 100, 1,000 and 5,000 services, with ixt-build, prost-build and typify, each with
//! the interface in its own language.
//!
//! A time is that of a whole process, from reading its input file to writing the generated code. The build scripts are the programs
//! `with-*` of this package, which have to be built first, in the same profile.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ixt_bench::measure::times_in_turns;
use ixt_bench::process::program;
use ixt_bench_codegen::interface;

fn main() -> anyhow::Result<()> {
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    println!(
        "Build scripts of the {build} profile: ms, median of all rounds; ratios round by round, median (min–max).\n"
    );
    println!(
        "| services | rounds | ixt-build | prost-build | without protoc | typify | ixt/prost | ixt/prost without protoc | ixt/typify | ixt, µs per service |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---|---|---|---:|");
    for (services, rounds) in [(10, 41), (100, 31), (1_000, 11), (5_000, 5)] {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("manifest.toml"), interface::manifest(services))?;
        fs::write(dir.path().join("bench.proto"), interface::proto(services))?;
        fs::write(dir.path().join("bench.json"), interface::json_schema(services))?;
        let read = Command::new("protoc")
            .current_dir(&dir)
            .args(["--include_source_info", "--include_imports", "-obench.descriptors", "bench.proto"])
            .status();
        ensure!(read.context("protoc is needed: the package protobuf-compiler")?.success(), "protoc failed");
        let [ixt, prost, generated, typify] = times_in_turns(
            rounds,
            [
                &mut || time("with-ixt", dir.path(), "manifest.toml", "module.rs"),
                &mut || time("with-prost", dir.path(), "bench.proto", "bench.rs"),
                &mut || time("with-prost", dir.path(), "bench.descriptors", "bench.rs"),
                &mut || time("with-typify", dir.path(), "bench.json", "bench.rs"),
            ],
        )?;
        println!(
            "| {services} | {rounds} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {:.0} |",
            ixt.median(),
            prost.median(),
            generated.median(),
            typify.median(),
            ixt.ratio(&prost),
            ixt.ratio(&generated),
            ixt.ratio(&typify),
            ixt.median() * 1e3 / services as f64,
        );
    }
    Ok(())
}

/// Runs a build script with a new output directory. Fails if it doesn't write the file `output` there.
fn time(script: &str, dir: &Path, input: &str, output: &str) -> anyhow::Result<Duration> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(program(script)?);
    command.arg(input).current_dir(dir).env("OUT_DIR", out.path()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let taken = start.elapsed();
    ensure!(status.success() && out.path().join(output).metadata()?.len() > 0, "{script} failed");
    Ok(taken)
}
