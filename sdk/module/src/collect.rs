//! Reading a configuration reports everything that is wrong with it at once. While one is read, the readers of records,
//! lists and maps note their mistakes here, with the path, and go on; at any other time, the first mistake ends the
//! reading. That can't be told them by the deserializer, which is serde's, so the thread remembers it.

use std::cell::RefCell;

use ixt_protocol::InvalidJson;

thread_local! {
    static MISTAKES: RefCell<Option<Mistakes>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Mistakes {
    /// Where the reader is now.
    path: Vec<String>,
    found: Vec<InvalidJson>,
}

/// Runs `read`, and gives all mistakes that it noted.
pub(crate) fn collect<T>(read: impl FnOnce() -> T) -> (T, Vec<InvalidJson>) {
    MISTAKES.set(Some(Mistakes::default()));
    let value = read();
    let found = MISTAKES.take().map(|mistakes| mistakes.found);
    (value, found.unwrap_or_default())
}

/// Whether mistakes are collected now.
pub(crate) fn is_collecting() -> bool {
    MISTAKES.with_borrow(Option::is_some)
}

/// Notes a mistake at `segment` of the path where the reader is.
pub(crate) fn note(segment: &str, message: String) {
    MISTAKES.with_borrow_mut(|mistakes| {
        if let Some(mistakes) = mistakes {
            let path = mistakes.path.iter().rev().fold(segment.to_owned(), |path, parent| join(parent, &path));
            mistakes.found.push(InvalidJson { path, message });
        }
    });
}

/// Reads what is at `segment`, and notes the mistake if it is one that was not noted further down.
pub(crate) fn at<T, E: std::fmt::Display>(segment: &str, read: impl FnOnce() -> Result<T, E>) -> Option<T> {
    let found = || MISTAKES.with_borrow(|mistakes| mistakes.as_ref().map_or(0, |mistakes| mistakes.found.len()));
    let before = found();
    MISTAKES
        .with_borrow_mut(|mistakes| mistakes.iter_mut().for_each(|mistakes| mistakes.path.push(segment.to_owned())));
    let read = read();
    MISTAKES.with_borrow_mut(|mistakes| mistakes.iter_mut().for_each(|mistakes| drop(mistakes.path.pop())));
    read.inspect_err(|error| {
        if found() == before {
            note(segment, error.to_string());
        }
    })
    .ok()
}

fn join(parent: &str, path: &str) -> String {
    if path.starts_with('[') { format!("{parent}{path}") } else { format!("{parent}.{path}") }
}
