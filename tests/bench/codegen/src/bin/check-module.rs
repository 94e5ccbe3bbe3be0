//! How long `cargo check` takes for a module crate alone: what rustc spends on the generated code, and on the handler's methods.
//!
//! A module has as many config keys as services. The arguments are these numbers; without arguments they are 10, 100 and 1,000. The time
//! per service and key is without that of a module that has none.

use std::fmt::Write as _;

use ixt_bench::measure::times_in_turns;
use ixt_bench::project::{Project, repository};
use ixt_bench_codegen::interface;

const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = vec![10, 100, 1_000];
    }
    let empty = time(0)?;
    println!("`cargo check` of the module crate alone: s, median of {ROUNDS} rounds.\n");
    println!("| services and config keys | s | ms per service and key |");
    println!("|---:|---:|---:|");
    for size in sizes {
        let taken = time(size)?;
        println!("| {size} | {:.2} | {:.2} |", taken / 1e3, (taken - empty) / size as f64);
    }
    Ok(())
}

/// The median time of `cargo check` after a change of the handler, in milliseconds.
fn time(size: usize) -> anyhow::Result<f64> {
    let dependencies = format!(
        "[dependencies]\nixt-sdk = {{ path = {:?} }}\n[build-dependencies]\nixt-build = {{ path = {:?} }}\n",
        repository("sdk/module"),
        repository("build-support/codegen"),
    );
    let project = Project::new(
        &dependencies,
        &[
            ("manifest.toml", &manifest(size)),
            ("src/main.rs", &handler(size)),
            ("build.rs", "fn main() { ixt_build::compile(\"manifest.toml\"); }\n"),
        ],
    )?;
    // The warm-up of the rounds also builds the dependencies.
    let [check] = times_in_turns(ROUNDS, [&mut || project.cargo_after_change("src/main.rs", &["check"])])?;
    Ok(check.median())
}

fn manifest(size: usize) -> String {
    let mut text = interface::manifest(size);
    text.push_str("[config]\n");
    for index in 0..size {
        match index % 5 {
            0 => writeln!(text, "key_{index} = {{ type = \"string\" }}"),
            1 => writeln!(text, "key_{index} = {{ type = \"integer\", default = {index} }}"),
            2 => writeln!(text, "key_{index} = {{ type = \"float\", default = {index}.5 }}"),
            3 => writeln!(text, "key_{index} = {{ type = \"boolean\", default = true }}"),
            _ => writeln!(text, "key_{index} = {{ type = \"[string]\", default = [\"a\"] }}"),
        }
        .unwrap();
    }
    text
}

fn handler(size: usize) -> String {
    let mut text = "use ixt_sdk::prelude::*;
ixt_sdk::include_module!();
struct Bench;
impl Handler for Bench {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> { Ok(Self) }
"
    .to_owned();
    for index in 0..size {
        let (method, name) = (interface::topic(index).replace('.', "_"), interface::type_name(index));
        writeln!(
            text,
            "    async fn {method}(&self, request: {name}Request, _ctx: Context) -> Result<{name}Response> {{
        Ok({name}Response {{ id: request.name, amounts: vec![request.amount] }})
    }}"
        )
        .unwrap();
    }
    text + "}\nfn main() -> std::process::ExitCode { run::<Bench>() }\n"
}
