//! Passes on what cargo writes while it builds, as lines that are safe to print.

use std::time::Duration;

use ixt_manifest::text::harmless_lines;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

/// Receives what cargo writes to stderr, for one or several cargo commands, one after the other. Nothing comes of a
/// command that succeeds within a second. If it takes longer, or fails, all its lines come, those of the first second
/// included. All text is safe to print: control characters are escaped, except for tabs and the colours of letters. A
/// closure that takes a line is a `BuildOutput` without colours and progress. The methods are called from the task that
/// builds, and should not block.
pub trait BuildOutput: Send + Sync {
    /// A line, without its line end; it may be empty. Lines come in the order in which cargo has written them.
    fn line(&self, line: &str);

    /// Cargo's current progress: one line that replaces the one before. Called with a text only if
    /// [`columns`](Self::columns) returns a number; called with `""` at the end of each command that takes longer than
    /// a second. Does nothing by default.
    fn progress(&self, text: &str) {
        let _ = text;
    }

    /// The width, in characters, of the terminal on which the output is shown. May be asked several times for each
    /// command. `None` (the default): it is not a terminal, so cargo writes no colours and no progress.
    fn columns(&self) -> Option<u16> {
        None
    }
}

impl<F: Fn(&str) + Send + Sync> BuildOutput for F {
    fn line(&self, line: &str) {
        self(line);
    }
}

/// The output of a cargo command that succeeds within this time is not shown; of a longer one it is shown from then on.
const SILENCE: Duration = Duration::from_secs(1);

/// Reads cargo's stderr to its end, and passes it on to `output` once [`SILENCE`] is over. Returns the lines that were
/// held back if cargo closes stderr before that, so that the caller can show them if cargo has failed; otherwise
/// nothing.
pub(super) async fn pass_on(mut cargo: impl AsyncRead + Unpin, output: &dyn BuildOutput) -> Vec<String> {
    let mut written = Vec::new();
    let mut held_back = Vec::new();
    let silence = Instant::now() + SILENCE;
    while let Ok(read) = timeout_at(silence, cargo.read_buf(&mut written)).await {
        let has_ended = !matches!(read, Ok(1..));
        take_lines(&mut written, has_ended, output, &mut |line| held_back.push(line.to_owned()));
        if has_ended {
            return held_back;
        }
    }
    for line in &held_back {
        output.line(line);
    }
    loop {
        let has_ended = !matches!(cargo.read_buf(&mut written).await, Ok(1..));
        take_lines(&mut written, has_ended, output, &mut |line| output.line(line));
        if has_ended {
            output.progress("");
            return Vec::new();
        }
        if output.columns().is_some() && written.ends_with(b"\r") {
            let progress = written[..written.len() - 1].rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
            output.progress(&shown(progress.strip_prefix(ERASE).unwrap_or(progress)));
            written.clear();
        }
    }
}

/// The escape sequence with which cargo erases its progress before it writes something else.
const ERASE: &[u8] = b"\x1b[K";

/// Removes the complete lines from `written`, and calls `line` with each, without the progress that cargo had written
/// before it. With `has_ended`, the rest is a line too.
fn take_lines(written: &mut Vec<u8>, has_ended: bool, output: &dyn BuildOutput, line: &mut dyn FnMut(&str)) {
    if has_ended && !written.is_empty() && !written.ends_with(b"\n") {
        written.push(b'\n');
    }
    let end = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    for mut text in written[..end].split_inclusive(|byte| *byte == b'\n') {
        if output.columns().is_some() {
            let erased = text.windows(ERASE.len() + 1).rposition(|bytes| bytes == b"\r\x1b[K");
            text = erased.map_or(text, |erased| &text[erased + 1..]);
            text = text.strip_prefix(ERASE).unwrap_or(text);
        }
        line(&shown(text.strip_suffix(b"\n").unwrap_or(text)));
    }
    written.drain(..end);
}

/// Makes text safe to print: it may contain quoted source code, and anything that a build script prints.
fn shown(text: &[u8]) -> String {
    harmless_lines(&String::from_utf8_lossy(text), "")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::sync::mpsc;

    use super::*;

    /// Sends the test each line, and each progress in brackets. The second field is the terminal's width.
    struct Recorder(mpsc::UnboundedSender<String>, Option<u16>);

    impl BuildOutput for Recorder {
        fn line(&self, line: &str) {
            self.0.send(line.to_owned()).unwrap();
        }

        fn progress(&self, text: &str) {
            self.0.send(format!("[{text}]")).unwrap();
        }

        fn columns(&self) -> Option<u16> {
            self.1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_output_of_a_long_build_is_passed_on_as_it_comes() {
        let (mut cargo, stderr) = duplex(4096);
        let (said, mut lines) = mpsc::unbounded_channel();
        let saying = tokio::spawn(async move { pass_on(stderr, &Recorder(said, Some(40))).await });
        let escape = "\u{1b}[1m";
        cargo.write_all(format!("{escape}Compiling\u{1b}[0m a\n  Building 1/3\r").as_bytes()).await.unwrap();
        // The clock goes on when nothing else is left to do.
        assert_eq!(lines.recv().await.unwrap(), format!("{escape}Compiling\u{1b}[0m a"));
        cargo.write_all(b"\x1b[K  Building 2/3\r").await.unwrap();
        assert_eq!(lines.recv().await.unwrap(), "[  Building 2/3]");
        // Progress is not a part of the next line, even if both are read at once.
        cargo.write_all(b"  Building 3/3\r\x1b[Kwarning: a\x1b[Kb\n").await.unwrap();
        assert_eq!(lines.recv().await.unwrap(), "warning: a\\u{1b}[Kb");
        cargo.write_all(b"no line end").await.unwrap();
        drop(cargo);
        assert_eq!(lines.recv().await.unwrap(), "no line end");
        assert_eq!(lines.recv().await.unwrap(), "[]");
        assert_eq!(saying.await.unwrap(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_output_of_a_short_build_is_returned() {
        let said = Mutex::new(Vec::new());
        let output = |line: &str| said.lock().unwrap().push(line.to_owned());
        let held_back = pass_on(&b"warning: a\rb\nerror"[..], &output).await;
        assert_eq!(held_back, ["warning: a\\rb", "error"]);
        assert!(said.lock().unwrap().is_empty());
    }
}
