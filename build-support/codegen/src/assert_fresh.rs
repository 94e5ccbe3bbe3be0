//! For generated code in version control: a check, for a test, that the code is up to date.

use std::fs;
use std::path::Path;

use crate::{Options, Source, generate};

/// Panics if `file` is not byte for byte the code that is generated from `manifest`. For a `#[test]` of a crate that
/// has its generated code in version control. Relative paths start at the crate's directory, in which cargo runs tests.
/// Nothing is written: `ixt generate MANIFEST --out FILE` writes the file. Warnings are ignored. For code that is
/// generated with [`Options`], compare with the result of [`generate()`](crate::generate()) instead.
///
/// ```no_run
/// #[test]
/// fn the_generated_code_is_fresh() {
///     ixt_build::assert_fresh("manifest.toml", "src/module.rs");
/// }
/// ```
///
/// # Panics
///
/// If the file differs from the code; the message has the first line that differs, or says that only line ends do. If
/// the manifest, or one of its `[requires.from]`, can't be read or has mistakes; the message is the report. If the file
/// can't be read or is not UTF-8.
#[track_caller]
pub fn assert_fresh(manifest: impl AsRef<Path>, file: impl AsRef<Path>) {
    let (manifest, file) = (manifest.as_ref(), file.as_ref());
    let generated = Source::read(manifest).and_then(|source| generate(&source, &Options::default()));
    let code = match generated {
        Ok(generated) => generated.code,
        Err(report) => panic!("\n{report}"),
    };
    let old = fs::read_to_string(file).unwrap_or_else(|error| panic!("can't read {}: {error}", file.display()));
    if old != code {
        let (manifest, path) = (manifest.display(), file.display());
        let difference = first_difference(&old, &code);
        panic!(
            "{path} is not what is generated from {manifest} now: {difference}\nWrite it with: ixt generate {manifest} --out {path}"
        );
    }
}

/// The first line in which two different texts differ, in words: its number, counted from 1, and both lines. If all
/// lines are equal, the texts differ in their line ends, or one has none at its end.
fn first_difference(old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.lines(), new.lines());
    let mut number = 1;
    loop {
        match (old.next(), new.next()) {
            (None, None) => return "the line ends differ".to_owned(),
            (old, new) if old == new => number += 1,
            (old, new) => {
                let [old, new] = [old, new].map(|line| line.unwrap_or("(the end of the file)"));
                return format!("line {number}\n  is         {old}\n  should be  {new}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        for (old, new, shown) in [
            ("a\nb\nc\n", "a\nB\nc\n", "line 2\n  is         b\n  should be  B"),
            ("a\n", "a\nb\n", "line 2\n  is         (the end of the file)\n  should be  b"),
            ("a\n\n", "a\n", "line 2\n  is         \n  should be  (the end of the file)"),
            ("a\r\n", "a\n", "the line ends differ"),
        ] {
            assert_eq!(first_difference(old, new), shown, "{old:?} {new:?}");
        }
    }
}
