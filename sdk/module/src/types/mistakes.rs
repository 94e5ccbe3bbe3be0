//! All mistakes of a configuration at once. The reader of the configuration passes a [`Mistakes`] down to the readers of records, lists
//! and maps, which note what is wrong, with the path, and go on. Requests are read without: their first mistake ends the reading.

use std::cell::RefCell;
use std::fmt::Display;

use ixt_protocol::InvalidJson;

/// The mistakes that were found so far.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(RefCell<Found>);

#[derive(Debug, Default)]
struct Found {
    /// Where the reader is now: keys, and indices such as `[3]`.
    path: Vec<String>,
    mistakes: Vec<InvalidJson>,
}

impl Mistakes {
    /// Notes a mistake at a key or index of the value that is being read.
    pub(crate) fn note(&self, segment: &str, message: String) {
        let mut found = self.0.borrow_mut();
        let path = found.path.iter().rev().fold(segment.to_owned(), |path, parent| join(parent, &path));
        found.mistakes.push(InvalidJson { path, message });
    }

    /// Reads the value at a key or index. An error is noted, unless the mistake behind it was noted further down, and `None` is
    /// returned.
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

    /// All mistakes, in the order in which they were found.
    pub(crate) fn into_all(self) -> Vec<InvalidJson> {
        self.0.into_inner().mistakes
    }
}

fn join(parent: &str, path: &str) -> String {
    if path.starts_with('[') { format!("{parent}{path}") } else { format!("{parent}.{path}") }
}
