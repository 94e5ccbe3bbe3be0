//! The history of one key: which operations were made, from when to when, and with which results; and whether it is
//! linearizable: whether the operations can have taken effect one after the other, each at some moment between its
//! begin and its end.

use tokio::time::Instant;

/// An operation of a client on one key.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// When the call was made.
    pub(super) begin: Instant,
    /// When the reply came. `None`: the call of a write failed with an error that leaves open whether the write takes
    /// effect; it may still do so later.
    pub(super) end: Option<Instant>,
    pub(super) what: What,
}

/// What an operation did, and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A read, with the value and the revision that it returned; `None` if there was no such key.
    Read(Option<(i64, u64)>),
    /// A write of `value`. `expected`: the revision that the key has to have, 0 if the key must not exist, `None` if
    /// any will do. `result`: `Ok` with the new revision; `Err` if the key had another revision than the expected one;
    /// `None` if the outcome is unknown.
    Write { value: i64, expected: Option<u64>, result: Option<Result<u64, ()>> },
}

/// What the key holds at a moment: its value and its revision; `None` if there is no such key. The revision is `None`
/// after a write with an unknown outcome, until a read shows it.
type Stored = Option<(i64, Option<u64>)>;

/// Whether the operations can have taken effect in some order, beginning with a key that does not exist. The key is
/// never deleted. Tries all orders, so that the time is exponential in the number of operations that overlap: for a few
/// dozen operations of a few clients.
pub(super) fn is_linearizable(operations: &[Operation]) -> bool {
    search(operations, &mut vec![false; operations.len()], None, 0)
}

/// Whether the operations that are not `done` can follow in some order, if the key holds `stored`. `last` is the
/// greatest revision that was seen.
fn search(operations: &[Operation], done: &mut [bool], stored: Stored, last: u64) -> bool {
    let left: Vec<_> = (0..operations.len()).filter(|index| !done[*index]).collect();
    // If only operations with an unknown outcome are left, none of them need have taken effect.
    let Some(first_end) = left.iter().filter_map(|index| operations[*index].end).min() else { return true };
    left.into_iter().any(|index| {
        let operation = &operations[index];
        // The next one can only be an operation that had begun before the first of those that are left ended.
        operation.begin <= first_end
            && after(operation.what, stored, last).is_some_and(|(stored, last)| {
                done[index] = true;
                let found = search(operations, done, stored, last);
                done[index] = false;
                found
            })
    })
}

/// What the key holds after the operation, and the greatest revision that was seen; `None` if the operation can't have
/// had its result now.
fn after(what: What, stored: Stored, last: u64) -> Option<(Stored, u64)> {
    match (what, stored) {
        (What::Read(None), None) => Some((None, last)),
        (What::Read(Some((read, revision))), Some((value, known))) => {
            let is_same = known.map_or(revision > last, |known| known == revision);
            (read == value && is_same).then_some((Some((value, Some(revision))), last.max(revision)))
        }
        (What::Read(_), _) => None,
        (What::Write { value, expected, result }, stored) => {
            // Whether the key has the expected revision; `None` if that is not known.
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
            // A write with an unknown outcome takes effect later, or never.
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
    fn a_history_that_no_order_explains_is_not_linearizable() {
        for list in [
            // A stale read.
            &[(0, Some(1), wrote(1, None, 1)), (2, Some(3), What::Read(None))][..],
            &[(0, Some(1), wrote(1, None, 1)), (2, Some(3), wrote(2, None, 2)), (4, Some(5), What::Read(Some((1, 1))))],
            // Two writes that both demanded, and found, that the key did not exist.
            &[(0, Some(9), wrote(1, Some(0), 1)), (0, Some(9), wrote(2, Some(0), 2))],
            // A read of a value that was not written.
            &[(0, Some(1), What::Read(Some((1, 1))))],
            // A read does not see a write that an earlier read has seen.
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
