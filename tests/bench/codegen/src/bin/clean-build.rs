//! How long a clean build takes of a package whose only dependency is a build-dependency: ixt-build, prost-build, or typify with what
//! its guide asks for. Downloads are not included.

use ixt_bench::measure::{Times, times_in_turns};
use ixt_bench::project::{Project, repository};

const ROUNDS: usize = 5;
const FILES: &[(&str, &str)] = &[("src/main.rs", "fn main() {}\n"), ("build.rs", "fn main() {}\n")];

fn main() -> anyhow::Result<()> {
    let ixt_build = format!("ixt-build = {{ path = {:?} }}\n", repository("build-support/codegen"));
    let ixt = project(&ixt_build)?;
    let prost = project("prost-build = \"0.14\"\n")?;
    // What typify's guide asks for.
    let typify =
        project("prettyplease = \"0.3\"\nschemars = \"0.8\"\nserde_json = \"1\"\nsyn = \"3\"\ntypify = \"0.8\"\n")?;
    let build = |project: &Project| {
        project.cargo(&["fetch"])?;
        let taken = project.cargo(&["build", "--offline"])?;
        project.clean()?;
        Ok(taken)
    };
    let [ixt, prost, typify] =
        times_in_turns(ROUNDS, [&mut || build(&ixt), &mut || build(&prost), &mut || build(&typify)])?;
    println!("Clean `cargo build`: s, median of {ROUNDS} rounds; ratios round by round, median (min–max).\n");
    println!("| ixt-build | prost-build | typify | ixt/prost | ixt/typify |");
    println!("|---:|---:|---:|---|---|");
    let seconds = |times: &Times| times.median() / 1e3;
    println!(
        "| {:.1} | {:.1} | {:.1} | {} | {} |",
        seconds(&ixt),
        seconds(&prost),
        seconds(&typify),
        ixt.ratio(&prost),
        ixt.ratio(&typify)
    );
    Ok(())
}

fn project(build_dependencies: &str) -> anyhow::Result<Project> {
    Project::new(&format!("[build-dependencies]\n{build_dependencies}"), FILES)
}
