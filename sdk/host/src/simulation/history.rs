//! The history of one key: what was asked, when, and what came back; and whether the operations can have happened one after the other,
//! each at some moment between its begin and its end (linearizability).

use tokio::time::Instant;

/// An operation of a client.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) begin: Instant,
    /// `None` if it is not known whether it has happened: the call ended with an error behind which the write may be done, also
    /// later.
    pub(super) end: Option<Instant>,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Read this value with this revision; `None` if there was no such key.
    Read(Option<(i64, u64)>),
    /// Wrote the value, if the key had the expected revision (0: if there was none). `Ok`: the new revision. `Err`: it had another one. The
    /// result of one of which nothing is known is `None`.
    Write { value: i64, expected: Option<u64>, result: Option<Result<u64, ()>> },
}

/// The value and its revision at a moment; `None` if there is no such key. The revision of a write whose result is not known is `None`, until
/// somebody reads it.
type Stored = Option<(i64, Option<u64>)>;

/// Whether there is an order in which the operations can have happened.
pub(super) fn is_linearizable(operations: &[Operation]) -> bool {
    search(operations, &mut vec![false; operations.len()], None, 0)
}

/// `last` is the greatest revision that is known.
fn search(operations: &[Operation], done: &mut [bool], stored: Stored, last: u64) -> bool {
    let left: Vec<_> = (0..operations.len()).filter(|index| !done[*index]).collect();
    // Those whose result is not known need not have happened.
    let Some(first_end) = left.iter().filter_map(|index| operations[*index].end).min() else { return true };
    left.into_iter().any(|index| {
        let operation = &operations[index];
        // The next one has begun before any that is left has ended.
        operation.begin <= first_end
            && after(operation.what, stored, last).is_some_and(|(stored, last)| {
                done[index] = true;
                let found = search(operations, done, stored, last);
                done[index] = false;
                found
            })
    })
}

/// What is stored after the operation, and the greatest known revision; `None` if the operation can't have happened now.
fn after(what: What, stored: Stored, last: u64) -> Option<(Stored, u64)> {
    match (what, stored) {
        (What::Read(None), None) => Some((None, last)),
        (What::Read(Some((read, revision))), Some((value, known))) => {
            let is_same = known.map_or(revision > last, |known| known == revision);
            (read == value && is_same).then_some((Some((value, Some(revision))), last.max(revision)))
        }
        (What::Read(_), _) => None,
        (What::Write { value, expected, result }, stored) => {
            // True, false, or perhaps.
            let has_expected = match (expected, stored) {
                (None, _) => Some(true),
                (Some(expected), None) => Some(expected == 0),
                (Some(expected), Some((_, Some(known)))) => Some(expected == known),
                (Some(expected), Some((_, None))) if expected > last => None,
                (Some(_), Some((_, None))) => Some(false),
            };
            match result {
                Some(Ok(revision)) if has_expected != Some(false) && revision > last => {
                    Some((Some((value, Some(revision))), revision))
                }
                Some(Err(())) if has_expected != Some(true) => Some((stored, last)),
                None if has_expected != Some(false) => Some((Some((value, None)), last)),
                _ => None,
            }
        }
    }
}

mod tests {
    use std::time::Duration;

    use super::*;

    fn operations(list: &[(u64, Option<u64>, What)]) -> Vec<Operation> {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        list.iter().map(|(begin, end, what)| Operation { begin: at(*begin), end: end.map(at), what: *what }).collect()
    }

    fn wrote(value: i64, expected: Option<u64>, revision: u64) -> What {
        What::Write { value, expected, result: Some(Ok(revision)) }
    }

    #[test]
    fn a_history_that_one_thing_after_the_other_explains_is_linearizable() {
        for list in [
            &[(0, Some(1), wrote(1, None, 1)), (2, Some(3), What::Read(Some((1, 1))))][..],
            // The two overlap, so that the read may be before the write.
            &[(0, Some(5), wrote(1, None, 1)), (2, Some(3), What::Read(None))],
            // A write whose end is not known happens later, or never.
            &[
                (0, None, What::Write { value: 1, expected: None, result: None }),
                (5, Some(6), What::Read(None)),
                (7, Some(8), What::Read(Some((1, 4)))),
                (9, Some(10), wrote(2, Some(4), 5)),
            ],
            &[
                (0, Some(1), wrote(1, Some(0), 1)),
                (2, Some(3), What::Write { value: 2, expected: Some(0), result: Some(Err(())) }),
            ],
        ] {
            assert!(is_linearizable(&operations(list)), "{list:?}");
        }
    }

    #[test]
    fn one_that_nothing_explains_is_not() {
        for list in [
            // A stale read.
            &[(0, Some(1), wrote(1, None, 1)), (2, Some(3), What::Read(None))][..],
            &[(0, Some(1), wrote(1, None, 1)), (2, Some(3), wrote(2, None, 2)), (4, Some(5), What::Read(Some((1, 1))))],
            // Two that both found nothing.
            &[(0, Some(9), wrote(1, Some(0), 1)), (0, Some(9), wrote(2, Some(0), 2))],
            // Something that nobody has written.
            &[(0, Some(1), What::Read(Some((1, 1))))],
            // A write that happened is forgotten again.
            &[
                (0, None, What::Write { value: 1, expected: None, result: None }),
                (5, Some(6), What::Read(Some((1, 4)))),
                (7, Some(8), What::Read(None)),
            ],
        ] {
            assert!(!is_linearizable(&operations(list)), "{list:?}");
        }
    }
}
