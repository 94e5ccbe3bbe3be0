//! Durations as text, such as `250ms` or `1h 30m`.

use std::time::Duration;

use humantime::DurationError;

/// Reads a duration: numbers with units from `ns` to `years`, which are added up. `ixt_manifest::parse_duration` is the same for build
/// scripts, hosts and the command, which don't link this crate.
///
/// # Errors
///
/// What is wrong with the text. A sum of more than `u64::MAX` seconds is an error too.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut sum = Duration::ZERO;
    for term in terms(text) {
        let term = humantime::parse_duration(term).map_err(|error| error.to_string())?;
        sum = sum.checked_add(term).ok_or_else(|| DurationError::NumberOverflow.to_string())?;
    }
    Ok(sum)
}

/// The numbers with their units, one by one: humantime 2.4 panics at the sum of some, but never at a single one.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let unit = text.find(char::is_alphabetic).unwrap_or(text.len());
        let next = text[unit..].find(|c: char| c.is_ascii_digit()).map(|next| unit + next);
        let (term, others) = next.map_or((text, None), |next| (&text[..next], Some(&text[next..])));
        rest = others;
        Some(term)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_sum_of_its_terms() {
        for text in
            ["250ms", "1h 30m", "1h30m", " 1 h  30 m ", "1.5h 2us", "1y 2months 3weeks", "0s", "999999999ns 1ns"]
        {
            assert_eq!(parse_duration(text), Ok(humantime::parse_duration(text).unwrap()), "{text:?}");
        }
        for text in ["", " ", "5", "1s 5", "s", "1s -2s", "1x 2s", "99999999999999999999s", "18446744073709551615s 1s"]
        {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_sum_that_is_too_large_is_an_error_and_no_panic() {
        for text in ["18446744073709551615s 1000000000ns", "18446744073709551614s 1s 999999999ns 1ns"] {
            assert_eq!(parse_duration(text), Err(DurationError::NumberOverflow.to_string()), "{text}");
        }
    }
}
