//! Collects all mistakes of a configuration. The reader of the configuration (`config.rs`) passes a [`Mistakes`] down to the readers of
//! records, unions, lists and maps, which note each mistake with its path, and go on. Requests are read without it: their first mistake
//! ends the reading.
//!
//! The texts are not here, but where a mistake is found: `record.rs` has those of an unknown key (`unknown_key`) and of a missing one,
//! `config.rs` the same for the top level; `rules.rs` has those of values that break a rule (`Wanted`), `text_enum.rs` and `union.rs` those
//! of unknown values and cases, `scalars.rs` and serde those of values of a wrong type.

use std::cell::RefCell;
use std::fmt::Display;

use ixt_protocol::InvalidJson;

/// The mistakes found so far, and the place of the value that is being read.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(RefCell<Found>);

/// What [`Mistakes`] holds.
#[derive(Debug, Default)]
struct Found {
    /// The path of the value that is being read: keys, and indices such as `[3]`.
    path: Vec<String>,
    mistakes: Vec<InvalidJson>,
}

impl Mistakes {
    /// Notes a mistake at `segment`, a key or an index such as `[3]` of the value that is being read. The message may quote the value:
    /// `config.rs` removes it.
    pub(crate) fn note(&self, segment: &str, message: String) {
        let mut found = self.0.borrow_mut();
        let path = found.path.iter().rev().fold(segment.to_owned(), |path, parent| join(parent, &path));
        found.mistakes.push(InvalidJson { path, message });
    }

    /// Reads the value at `segment`, a key or an index. If it is wrong, returns `None`, and notes the error, unless `read` has noted a
    /// mistake itself. Mistakes that `read` notes have `segment` in their paths.
    pub(crate) fn at<T, E: Display>(&self, segment: &str, read: impl FnOnce() -> Result<T, E>) -> Option<T> {
        let noted = || self.0.borrow().mistakes.len();
        let before = noted();
        self.0.borrow_mut().path.push(segment.to_owned());
        let read = read();
        self.0.borrow_mut().path.pop();
        read.inspect_err(|error| {
            if noted() == before {
                self.note(segment, error.to_string());
            }
        })
        .ok()
    }

    /// All mistakes, in the order in which they were found. Empty if there are none.
    pub(crate) fn into_all(self) -> Vec<InvalidJson> {
        self.0.into_inner().mistakes
    }
}

/// The path of `path` within `parent`, such as `items[3].name`.
fn join(parent: &str, path: &str) -> String {
    if path.starts_with('[') { format!("{parent}{path}") } else { format!("{parent}.{path}") }
}
