//! The figures as a file: a line for each case, and the versions of the tools.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};

/// The tolerated increase over the recorded figure, in percent.
const MARGIN: u64 = 5;

/// The instructions for a message in each case.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    /// What they depend on besides the code: the compiler, valgrind, the processor.
    pub(crate) made_with: String,
    pub(crate) instructions: BTreeMap<String, u64>,
}

const HEAD: &str = "\
# Instructions of a module for a message, from the bytes of the host to those of the reply, as callgrind counts them.
# Written by `tests/instructions/count --record`, and compared by `tests/instructions/count`.
";
const MADE_WITH: &str = "# made with ";

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}{MADE_WITH}{}", self.made_with)?;
        self.instructions.iter().try_for_each(|(case, figure)| writeln!(f, "{case:<28}{figure:>10}"))
    }
}

impl Figures {
    /// Reads recorded figures.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let made_with = text.lines().find_map(|line| line.strip_prefix(MADE_WITH)).context("no line `made with`")?;
        let figure = |line: &str| {
            let (case, figure) = line.split_once(' ').with_context(|| format!("`{line}` is no figure"))?;
            Ok((case.to_owned(), figure.trim().parse().with_context(|| format!("`{line}` is no figure"))?))
        };
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Ok(Self { made_with: made_with.to_owned(), instructions: lines.map(figure).collect::<Result<_>>()? })
    }

    /// Compares these figures with recorded ones.
    pub(crate) fn against(&self, recorded: &Self) -> Comparison {
        let mut comparison = Comparison::default();
        for (case, now) in &self.instructions {
            match recorded.instructions.get(case) {
                None => comparison.wrong.push(format!("{case}: nothing is recorded")),
                Some(before) if now * 100 > before * (100 + MARGIN) => {
                    comparison.wrong.push(format!("{case}: {now} instructions for a message, {}", than(*now, *before)));
                }
                Some(before) if now * 100 < before * (100 - MARGIN) => {
                    comparison
                        .better
                        .push(format!("{case}: {now} instructions for a message, {}", than(*now, *before)));
                }
                Some(_) => {}
            }
        }
        let gone = recorded.instructions.keys().filter(|case| !self.instructions.contains_key(*case));
        comparison.wrong.extend(gone.map(|case| format!("{case}: recorded, but there is no such case any more")));
        comparison
    }

    /// Checks that the second case needs no more instructions than the first. Returns a line if it does.
    pub(crate) fn check_same(&self, [few, many]: [&str; 2]) -> Option<String> {
        let (few, of_many) = (self.instructions.get(few)?, self.instructions.get(many)?);
        (of_many * 100 > few * (100 + MARGIN)).then(|| format!("{many}: {}", than(*of_many, *few)))
    }
}

fn than(now: u64, before: u64) -> String {
    let (word, by) = if now > before { ("more", now - before) } else { ("less", before - now) };
    let tenths = by * 1000 / before.max(1);
    format!("{}.{} % {word} than {before}", tenths / 10, tenths % 10)
}

/// The result of a comparison: a line for each case that is wrong, and for each that needs fewer instructions.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) wrong: Vec<String>,
    pub(crate) better: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(instructions: &[(&str, u64)]) -> Figures {
        let instructions = instructions.iter().map(|(case, figure)| ((*case).to_owned(), *figure)).collect();
        Figures { made_with: "rustc 1.95.0".to_owned(), instructions }
    }

    #[test]
    fn what_is_written_is_read() {
        let figures = figures(&[("a", 1), ("64-bytes-among-10000-topics", 123_456_789)]);
        assert_eq!(Figures::read(&figures.to_string()).unwrap(), figures);
        assert!(Figures::read("").is_err());
        assert!(Figures::read("# made with x\na b").is_err());
    }

    #[test]
    fn five_hundredths_more_are_allowed_and_no_more() {
        let recorded = figures(&[("less", 1000), ("more", 1000), ("same", 1000), ("gone", 1)]);
        let now = figures(&[("less", 949), ("more", 1051), ("same", 1050), ("new", 1)]);
        let Comparison { wrong, better } = now.against(&recorded);
        assert_eq!(
            wrong,
            [
                "more: 1051 instructions for a message, 5.1 % more than 1000",
                "new: nothing is recorded",
                "gone: recorded, but there is no such case any more"
            ]
        );
        assert_eq!(better, ["less: 949 instructions for a message, 5.1 % less than 1000"]);
    }

    #[test]
    fn what_should_be_the_same_is() {
        let figures = figures(&[("few", 1000), ("many", 1050), ("too-many", 1051)]);
        assert_eq!(figures.check_same(["few", "many"]), None);
        assert_eq!(figures.check_same(["few", "too-many"]), Some("too-many: 5.1 % more than 1000".to_owned()));
    }
}
