//! Counts the instructions that a module spends on a message, between the bytes that come in and those that go out, and
//! compares them with those that were recorded. `README.md` says more.

mod case;
mod count;
mod figures;
mod module;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use case::{CASES, Case, TOPICS};
use figures::{Comparison, Figures};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded.txt");

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => return compare(),
        ["--record"] => {
            let figures = figures()?;
            std::fs::write(RECORDED, figures.to_string()).context(RECORDED)?;
            print!("{figures}");
        }
        // Under valgrind.
        ["run", case, messages] => Case::find(case)?.run(messages.parse()?)?,
        ["features"] => println!("{}", count::features()),
        _ => bail!("expected nothing, to compare, or --record"),
    }
    Ok(ExitCode::SUCCESS)
}

fn figures() -> Result<Figures> {
    let mut instructions = BTreeMap::new();
    for case in CASES {
        instructions.insert(case.name.to_owned(), count::per_message(case)?);
    }
    Ok(Figures { made_with: count::made_with()?, instructions })
}

fn compare() -> Result<ExitCode> {
    let now = figures()?;
    print!("{now}");
    let recorded = std::fs::read_to_string(RECORDED).context(RECORDED)?;
    let recorded = Figures::read(&recorded).context(RECORDED)?;
    let Comparison { mut wrong, better } = now.against(&recorded);
    wrong.extend(now.check_same(TOPICS));
    let record = "tests/instructions/count --record";
    if !better.is_empty() {
        println!("\nfewer instructions than recorded; `{record}` keeps it so:\n  {}", better.join("\n  "));
    }
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nmore instructions than recorded in tests/instructions/recorded.txt:\n  {}", wrong.join("\n  "));
    if now.made_with != recorded.made_with {
        println!("recorded with {}\nnow made with {}", recorded.made_with, now.made_with);
    }
    println!("If that is meant, record it with `{record}`, and say why in the commit.");
    Ok(ExitCode::FAILURE)
}
