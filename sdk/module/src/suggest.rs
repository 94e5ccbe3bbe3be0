//! The name that was probably meant, for what a host or a caller gets wrong.

/// The candidate that is nearest to `name`, if one is near enough to be a slip of the hand.
pub(crate) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 3)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (name.len().max(candidate.len()) / 3).min(3))
        .min()
        .map(|(_, candidate)| candidate)
}
