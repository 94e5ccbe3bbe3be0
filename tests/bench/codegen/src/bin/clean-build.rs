//! How long the build-dependencies of a project take to build from nothing: those of ixt-build, prost-build and typify.

use ixt_bench::measure;
use ixt_bench::project::{Project, repository};

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
        measure::in_turns(5, [&mut || build(&ixt), &mut || build(&prost), &mut || build(&typify)])?;
    println!("Clean `cargo build`: s, median of 5 rounds; ratios round by round, median (least–most).\n");
    println!("| ixt-build | prost-build | typify | ixt/prost | ixt/typify |");
    println!("|---:|---:|---:|---|---|");
    let seconds = |times: &measure::Times| times.median() / 1e3;
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
