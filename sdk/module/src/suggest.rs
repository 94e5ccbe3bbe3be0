//! The name that was probably meant. This file is in `ixt-manifest` and, the same, in `ixt-sdk`, which must not depend on a
//! crate of build scripts at run time; a test in `tests/workspace.rs` compares the two.

/// The longest name that is compared, in bytes. Nobody mistypes a longer one by hand.
const MAX_BYTES: usize = 64;

/// The candidate that is most similar to `name`, whatever the case of letters. `None` if none is similar enough to be a slip: a
/// third of the longer name may differ, and three characters at most. Of several equally similar ones the alphabetically first.
#[must_use]
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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
