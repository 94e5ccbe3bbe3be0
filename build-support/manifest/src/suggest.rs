//! The name that was probably meant.

/// Longer names are not compared: nobody mistypes them by hand.
const LONGEST: usize = 64;

/// The candidate that is nearest to `name`, if one is near enough to be a slip of the hand.
#[must_use]
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
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
