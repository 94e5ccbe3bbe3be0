//! For code that is checked in: whether it is what the manifest gives now.

use std::fs;
use std::path::Path;

use crate::{Options, Source, generate};

/// Fails with a diff if `file` is not the code that is generated from `manifest`: one line in a `#[test]` of a crate that
/// has its generated code checked in, both relative to the crate's directory. `ixt generate MANIFEST --out FILE` writes
/// the file.
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
/// If it is not, or the manifest is wrong.
#[track_caller]
pub fn assert_fresh(manifest: impl AsRef<Path>, file: impl AsRef<Path>) {
    let (manifest, file) = (manifest.as_ref(), file.as_ref());
    let generated = Source::read(manifest).and_then(|source| generate(&source, &Options::default()));
    let code = match generated {
        Ok(generated) => generated.code,
        Err(report) => panic!("\n{report}"),
    };
    let old = fs::read_to_string(file).unwrap_or_default();
    if let Some(diff) = diff(&old, &code) {
        let (manifest, file) = (manifest.display(), file.display());
        panic!(
            "{file} is not what {manifest} gives now:\n\n{diff}\nWrite it with: ixt generate {manifest} --out {file}"
        );
    }
}

/// How many lines of what did not change are shown around what did.
const AROUND: usize = 3;

/// What has to change in `old` to make it `new`, as one hunk in the manner of `diff -u`; `None` if nothing has to.
#[must_use]
pub fn diff(old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[same_start..], &new[same_start..]);
    let same_end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (removed, added) = (&old_rest[..old_rest.len() - same_end], &new_rest[..new_rest.len() - same_end]);

    let before = &old[same_start.saturating_sub(AROUND)..same_start];
    let after = &old[old.len() - same_end..old.len() - same_end + same_end.min(AROUND)];
    let first = same_start - before.len() + 1;
    let around = before.len() + after.len();
    let mut hunk = format!("@@ -{first},{} +{first},{} @@\n", around + removed.len(), around + added.len());
    for (mark, lines) in [(' ', before), ('-', removed), ('+', added), (' ', after)] {
        for line in lines {
            hunk.push(mark);
            hunk.push_str(line);
            hunk.push('\n');
        }
    }
    Some(hunk)
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn a_diff_shows_what_changed_and_a_little_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        assert_eq!(diff(old, old), None);
        let expected = "@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+E\n+E2\n f\n g\n h\n";
        assert_eq!(diff(old, &old.replace("e\n", "E\nE2\n")).unwrap(), expected);
        assert_eq!(diff("", "a\n").unwrap(), "@@ -1,0 +1,1 @@\n+a\n");
        assert_eq!(diff("a\na\n", "a\n").unwrap(), "@@ -1,2 +1,1 @@\n a\n-a\n");
    }
}
