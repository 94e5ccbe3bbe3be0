//! Everything that `ixt` writes to stdout and stderr goes through these functions; a lint forbids any other way. They escape control
//! characters, so that text from modules, manifests or the network can't control a terminal. Bytes to a stdout that is no terminal stay as
//! they are.
//!
//! In text for people, line ends, tabs and colours stay. A caller that makes foreign text part of a line passes it through
//! `ixt_host::text::harmless` first, which escapes these too. Any thread may call these functions.
#![expect(clippy::disallowed_methods, reason = "everything else goes through here")]

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use ixt_host::text::{harmless_json, harmless_lines};
use rustix::termios::tcgetwinsize;

use crate::failure::{Failure, Result};

/// The width of a terminal that does not say how wide it is, in characters.
const DEFAULT_COLUMNS: u16 = 80;

/// Writes text to stderr, with colours if that is a terminal, unless a variable such as `NO_COLOR` or `CLICOLOR_FORCE` says otherwise. Adds
/// no line end. Blocks while the terminal or pipe takes no more. Errors are ignored: there is no other place to report them.
pub(crate) fn say(text: &str) {
    let _ = anstream::stderr().write_all(harmless_lines(text, "").as_bytes());
}

/// Replaces the current line of the terminal on stderr with this text; an empty text clears the line. The cursor stays at the start of the
/// line, so that what is written next overwrites the text. Call it only if stderr is a terminal, which is not checked here, with a text
/// that is no wider. Line ends become spaces; errors are ignored.
pub(crate) fn say_progress(text: &str) {
    let text = harmless_lines(text, "").replace('\n', " ");
    let _ = io::stderr().write_all(format!("\r\u{1b}[K{text}\r").as_bytes());
}

/// Writes text for people to stdout, with colours under the same conditions as [`say`]. Adds no line end.
///
/// This function and the other ones that write to stdout flush it before they return, and block while the reader takes no more. They fail
/// with [`Failure::reader_gone`] if the reader, such as `head`, has closed stdout, and with status 2 if writing fails otherwise; a part may
/// be written then.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout();
    written(stdout.write_all(harmless_lines(text, "").as_bytes()).and_then(|()| stdout.flush()))
}

/// Writes JSON for programs to stdout, as one line with a line end, which it adds. `json` has to be valid JSON, which is not checked; it
/// may have several lines. Never has colours; control characters become JSON's escapes.
pub(crate) fn print_json(json: &str) -> Result<()> {
    write(format!("{}\n", harmless_json(json)).as_bytes())
}

/// Writes bytes to stdout unchanged. If stdout is a terminal, writes them as text for people instead, as [`print()`] does; bytes that are
/// not UTF-8 become U+FFFD. Adds no line end.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    if is_terminal() { print(&String::from_utf8_lossy(bytes)) } else { write(bytes) }
}

/// Writes a page of lines to the terminal on stdout, from the upper left corner over the page before. `is_first` clears the screen; later
/// pages clear only what they don't cover, because clearing all would flicker. For `ixt top`, only if stdout is a terminal. A page that is
/// higher than the terminal scrolls.
pub(crate) fn print_over(text: &str, is_first: bool) -> Result<()> {
    let clear = if is_first { "\u{1b}[2J" } else { "" };
    let text = harmless_lines(text, "").replace('\n', "\u{1b}[K\n");
    write(format!("{clear}\u{1b}[H{text}\u{1b}[J").as_bytes())
}

/// Whether stdout is a terminal. Stderr may be another file.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The current width of the terminal on stderr in characters, at least 1; 80 if the terminal does not say it. `None` if stderr is not a
/// terminal.
pub(crate) fn stderr_columns() -> Option<u16> {
    let stderr = io::stderr();
    stderr.is_terminal().then(|| match tcgetwinsize(stderr) {
        Ok(size) if size.ws_col > 0 => size.ws_col,
        _ => DEFAULT_COLUMNS,
    })
}

/// Writes bytes to stdout as they are.
fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// The result of a write to stdout: see [`print()`].
fn written(written: io::Result<()>) -> Result<()> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::reader_gone()),
        Err(error) => Err(Failure::usage(format!("can't write to stdout: {error}"))),
    }
}
