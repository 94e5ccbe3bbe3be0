//! Finds the name that was probably meant; the words of "did you mean" are `Diagnostic::suggest`'s and the SDK's. This file is in
//! `ixt-manifest` and, the same, in `ixt-sdk`, which must not depend on a crate of build scripts at run time; a test in
//! `tests/workspace.rs` compares the two.

/// The maximum length of a name that is compared, in bytes: the comparison takes time in proportion to the square of the length.
const MAX_BYTES: usize = 64;

/// The candidate that is most similar to `name`, ignoring the case of letters; of equally similar ones, the alphabetically first.
/// `None` if no candidate differs in at most three characters and at most a third of the longer name, or if `name` is longer than
/// 64 bytes.
#[must_use]
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_BYTES {
        return None;
    }
    let wanted = name.to_ascii_lowercase();
    let allowed = |candidate: &str| (name.len().max(candidate.len()) / 3).min(3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_is_recognized_and_another_word_is_not() {
        let keys = ["default", "description", "type", "min", "max"];
        for (slip, meant) in [("defualt", "default"), ("Type", "type"), ("desription", "description"), ("mim", "min")] {
            assert_eq!(closest(slip, keys), Some(meant));
        }
        for other in ["colour", "x", "required"] {
            assert_eq!(closest(other, keys), None);
        }
    }
}
