//! What a command writes, all of it: nothing else in this crate writes to stdout or stderr. Here text from outside can do nothing to
//! a terminal, whoever has put it together. What this can't know is where a text from outside begins and ends: whoever puts it
//! into a line of its own makes it one line first, by `harmless`.
#![expect(clippy::disallowed_methods, reason = "everything else goes through here")]

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use ixt_host::text::{harmless_json, harmless_lines};
use rustix::termios::tcgetwinsize;

use crate::exit::{Failure, Result};

/// To stderr, in colours if that is a terminal. If stderr is closed, there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = anstream::stderr().write_all(harmless_lines(text, "").as_bytes());
}

/// To stderr, if that is a terminal, in the last line, over what was said there before.
pub(crate) fn say_progress(text: &str) {
    let text = harmless_lines(text, "").replace('\n', " ");
    let _ = io::stderr().write_all(format!("\r\u{1b}[K{text}\r").as_bytes());
}

/// To stdout, for people, in colours if that is a terminal. A reader that has seen enough, such as `head`, ends the command, and is no
/// failure.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout();
    written(stdout.write_all(harmless_lines(text, "").as_bytes()).and_then(|()| stdout.flush()))
}

/// To stdout, for programs: JSON, in a line.
pub(crate) fn print_json(json: &str) -> Result<()> {
    write(format!("{}\n", harmless_json(json)).as_bytes())
}

/// To stdout, as it is, for whatever takes it from there; to people on a terminal only as text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    if is_terminal() { print(&String::from_utf8_lossy(bytes)) } else { write(bytes) }
}

/// To a terminal, from the upper left corner, over what was there: cleared each time, it would flicker.
pub(crate) fn print_over(text: &str, is_first: bool) -> Result<()> {
    let clear = if is_first { "\u{1b}[2J" } else { "" };
    let text = harmless_lines(text, "").replace('\n', "\u{1b}[K\n");
    write(format!("{clear}\u{1b}[H{text}\u{1b}[J").as_bytes())
}

/// Whether people see what is printed.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How wide the terminal is that stderr is on, if it is one.
pub(crate) fn stderr_columns() -> Option<u16> {
    let stderr = io::stderr();
    stderr.is_terminal().then(|| match tcgetwinsize(stderr) {
        // Some terminals don't say.
        Ok(size) if size.ws_col > 0 => size.ws_col,
        _ => 80,
    })
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

fn written(written: io::Result<()>) -> Result<()> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::unread()),
        Err(error) => Err(Failure::usage(format!("can't write to stdout: {error}"))),
    }
}
