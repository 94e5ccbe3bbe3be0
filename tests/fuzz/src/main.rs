//! Runs a fuzz target. Built with `--cfg fuzzing`, as `run` does, this is libFuzzer, and the target's name is in
//! `IXT_FUZZ_TARGET`. Otherwise it is a program for the inputs of a target:
//!
//! ```text
//! ixt-fuzz TARGET FILE…       runs the target on each file
//! ixt-fuzz seed DIRECTORY     writes the first inputs of each target into DIRECTORY/TARGET
//! ixt-fuzz list               the names of the targets
//! ```
#![cfg_attr(fuzzing, no_main)]

use ixt_fuzz::{TARGETS, Target};

fn find(name: &str) -> &'static Target {
    Target::find(name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("there is no fuzz target `{name}`; there are: {}", names.join(", "))
    })
}

#[cfg(fuzzing)]
static TARGET: std::sync::LazyLock<&Target> =
    std::sync::LazyLock::new(|| find(&std::env::var("IXT_FUZZ_TARGET").expect("IXT_FUZZ_TARGET names the target")));

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    use std::fs;
    use std::path::Path;

    use anyhow::{Context as _, bail};

    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        ["seed", directory] => {
            for target in TARGETS {
                let directory = Path::new(directory).join(target.name);
                fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
                for (number, seed) in (target.seeds)().iter().enumerate() {
                    let path = directory.join(format!("seed-{number}"));
                    fs::write(&path, seed).with_context(|| path.display().to_string())?;
                }
            }
        }
        [target, ref files @ ..] if !files.is_empty() => {
            for file in files {
                (find(target).run)(&fs::read(file).with_context(|| (*file).to_owned())?);
            }
        }
        _ => bail!("expected `TARGET FILE...`, `seed DIRECTORY` or `list`"),
    }
    Ok(())
}
