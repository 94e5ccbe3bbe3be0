//! Durations as manifests, configurations and command lines write them.

use std::time::Duration;

use humantime::DurationError as Error;

/// Parses a duration such as `"250ms"` or `"1h 30m"`: the sum of numbers with units from `ns` to `years`.
///
/// # Errors
///
/// What is wrong with the text. A sum of more than `u64::MAX` seconds is an error too.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut sum = Duration::ZERO;
    for (start, term) in terms(text) {
        let term = humantime::parse_duration(term).map_err(|error| at(error, start).to_string())?;
        sum = sum.checked_add(term).ok_or_else(|| Error::NumberOverflow.to_string())?;
    }
    Ok(sum)
}

/// The numbers of a text with their units, each with its offset in bytes. They are parsed one by one, because `humantime` 2.4 panics
/// if a sum overflows.
fn terms(text: &str) -> Vec<(usize, &str)> {
    let mut starts = vec![0];
    let mut is_in_unit = false;
    for (index, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        if c.is_ascii_digit() && is_in_unit {
            starts.push(index);
        }
        is_in_unit = c.is_alphabetic();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| (*start, &text[*start..end])).collect()
}

/// Turns the offset of an error within a term into that within the whole text.
fn at(error: Error, start: usize) -> Error {
    match error {
        Error::InvalidCharacter(offset) => Error::InvalidCharacter(start + offset),
        Error::NumberExpected(offset) => Error::NumberExpected(start + offset),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_terms_is_as_humantime_has_it() {
        for text in [
            "250ms",
            "1h 30m",
            "1h30m",
            " 1 h  30 m ",
            "1 0s",
            "1.5h 2us",
            "2µs3ns",
            "1y 2months 3weeks 4days 5hours",
            "0s",
            "18446744073709551615s 999999999ns",
            "999999999ns 1ns",
            "",
            " ",
            "5",
            "1s 5",
            "s",
            "2 hours min",
            "1s -2s",
            "1s +",
            "é1s",
            "1s1é",
            "1.s",
            "0.5ns",
            "99999999999999999999s",
            "18446744073709551615s 1s",
            "1x 2s",
            "1s 2x",
        ] {
            let expected = humantime::parse_duration(text).map_err(|error| error.to_string());
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_sum_that_is_too_large_is_no_panic() {
        let too_large = Error::NumberOverflow.to_string();
        for text in [
            "18446744073709551615s 1000000000ns",
            "18446744073709551614s 1s 999999999ns 1ns",
            "584542046090y 584542046090y",
        ] {
            assert_eq!(parse_duration(text), Err(too_large.clone()), "{text}");
        }
    }
}
