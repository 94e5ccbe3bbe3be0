//! A panic anywhere in the module's process becomes one log line: with its place, the topic that was handled, and a backtrace. The hook
//! only logs; `catch_panic.rs` makes the reply.

use std::backtrace::Backtrace;
use std::env;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use ixt_protocol::LogLevel;
use serde_json::Map;

use crate::log::{LineParts, Scope, write, write_to_stderr};

/// The environment variable for backtraces: `0` for none, `full` for a whole one, anything else for the author's part of it. Other than in
/// plain Rust, the author's part is also the default. Read at each panic.
const BACKTRACE: &str = "RUST_BACKTRACE";
/// The limit of a backtrace, in bytes. A longer one is cut at the end of a line, and ends with `…`.
const MAX_BACKTRACE_BYTES: usize = 16 * 1024;

/// Installs the hook, in place of an earlier one. Only the first call in the process does. The launcher calls it when it has connected to
/// the host; the test harness does not. Rust's own hook writes several lines to stderr, each of which would become a separate log line.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| panic::set_hook(Box::new(report)));
}

/// The hook: writes the log line of the level `error`. Fields that are empty are left out. With `panic = "abort"` the line goes to stderr.
fn report(panic: &PanicHookInfo<'_>) {
    let scope = Scope::current();
    let topic = scope.as_ref().map_or("", Scope::topic);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let what = if topic.is_empty() { format!("the thread `{thread}`") } else { format!("the handler of `{topic}`") };
    let mut fields = Map::new();
    let backtrace = backtrace(env::var(BACKTRACE).ok().as_deref());
    for (key, value) in [("topic", topic), ("location", &place), ("thread", thread), ("backtrace", &backtrace)] {
        if !value.is_empty() {
            fields.insert(key.to_owned(), value.into());
        }
    }
    let message = format!("{what} panicked at {place}: {}", said(panic));
    let line = LineParts { level: LogLevel::Error, message: &message, fields: Some(fields), trace_id: None };
    // With `panic = "abort"` the process ends after this hook: frames that are not written yet would be lost.
    if cfg!(panic = "abort") { write_to_stderr(&line) } else { write(&line) }
}

/// The text of the panic, which may have line ends; `no text` if its payload is not a string.
fn said<'p>(panic: &'p PanicHookInfo<'_>) -> &'p str {
    let text = panic.payload();
    text.downcast_ref::<&str>()
        .copied()
        .or_else(|| text.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// The backtrace that `setting`, the value of [`BACKTRACE`], asks for: at most [`MAX_BACKTRACE_BYTES`] and a line with `…`. Empty with `0`.
/// `None` is the author's part.
fn backtrace(setting: Option<&str>) -> String {
    if setting == Some("0") {
        return String::new();
    }
    let all = Backtrace::force_capture().to_string();
    let mut shown = if setting == Some("full") { all } else { of_author(&all) };
    if shown.len() > MAX_BACKTRACE_BYTES {
        let end = shown[..=MAX_BACKTRACE_BYTES].rfind('\n').unwrap_or_default();
        shown.truncate(end);
        shown.push_str("\n  …");
    }
    shown
}

/// Cuts off the stack frames of the panic itself at the beginning, and those of the SDK and the runtime at the end. Returns the whole
/// backtrace if nothing would be left.
fn of_author(backtrace: &str) -> String {
    let mut frames: Vec<String> = Vec::new();
    for line in backtrace.lines() {
        let is_frame = line.trim_start().split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        match frames.last_mut() {
            Some(frame) if !is_frame => *frame = format!("{frame}\n{line}"),
            _ => frames.push(line.to_owned()),
        }
    }
    let is_one_of = |frame: &String, names: &[&str]| names.iter().any(|name| frame.contains(name));
    let is_begin =
        |frame: &String| is_one_of(frame, &["rust_begin_unwind", "core::panicking::", "std::panicking::begin_panic"]);
    let begin = frames.iter().position(is_begin).unwrap_or_default();
    let begin = begin + frames[begin..].iter().take_while(|frame| is_begin(frame)).count();
    let sdk = ["ixt_sdk::catch_panic::", "ixt_sdk::requests::", "ixt_sdk::session::", "ixt_sdk::transport::"];
    let std = ["catch_unwind", "__rust_try", "__rust_begin_short_backtrace"];
    let is_around = |frame: &String| is_one_of(frame, &std) || is_one_of(frame, &sdk);
    let end = frames[begin..].iter().position(is_around).map_or(frames.len(), |end| begin + end);
    // Equal if the SDK itself has panicked.
    if begin == end { backtrace.to_owned() } else { frames[begin..end].join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_shows_the_authors_part_unless_all_of_it_is_wanted() {
        assert_eq!(backtrace(Some("0")), "");
        let all = "   0: std::backtrace::Backtrace::force_capture\n             at /rustc/x.rs:1:2\n   1: \
                   std::panicking::panic_with_hook\n   2: __rustc::rust_begin_unwind\n   3: core::panicking::panic_fmt\n   4: \
                   core::panicking::panic_bounds_check\n   5: orders::place\n             at ./src/main.rs:6:1\n   6: \
                   orders::handle\n   7: std::panicking::catch_unwind::do_call\n   8: main\n";
        assert_eq!(of_author(all), "   5: orders::place\n             at ./src/main.rs:6:1\n   6: orders::handle");
        assert_eq!(of_author("   0: <unknown>\n   1: <unknown>"), "   0: <unknown>\n   1: <unknown>");
        let of_sdk = "   0: core::panicking::panic\n   1: ixt_sdk::transport::connection";
        assert_eq!(of_author(of_sdk), of_sdk);
        assert_eq!(of_author(""), "");
        assert!(backtrace(Some("full")).contains("panic_hook::"));
    }
}
