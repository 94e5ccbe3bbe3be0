//! Reads the lines of a process's output. A line over 64 KiB is split into pieces, between characters.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::Part;

/// The longest line that is not split, in bytes without the `\n` (a `\r` before it counts); so also the longest piece, before
/// bytes that are not UTF-8 are replaced.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads lines of limited length. It holds one piece of a line at most.
pub(crate) struct LineReader<R> {
    source: BufReader<R>,
    /// The beginning of the line or piece that is being read.
    line: Vec<u8>,
    /// Whether the next piece continues a line.
    continues: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source: BufReader::new(source), line: Vec::new(), continues: false }
    }

    /// Waits for the next line, or the next piece of a long one, and returns it without its line end (`\n` or `\r\n`), with
    /// which piece it is; a whole line has no [`Part`]. `None` at the end of the output, or if it can't be read. Bytes that are
    /// not UTF-8 are replaced by U+FFFD.
    pub(crate) async fn next(&mut self) -> Option<(String, Option<Part>)> {
        loop {
            // Reads one byte more than a line may have, to see whether the line goes on.
            let room = MAX_LINE_BYTES + 1 - self.line.len();
            let read = (&mut self.source).take(room as u64).read_until(b'\n', &mut self.line).await;
            if self.line.ends_with(b"\n") {
                self.line.pop();
                self.line.pop_if(|byte| *byte == b'\r');
                return Some(self.end());
            }
            if self.line.len() > MAX_LINE_BYTES {
                let rest = self.line.split_off(boundary(&self.line));
                let piece = std::mem::replace(&mut self.line, rest);
                let part = if std::mem::replace(&mut self.continues, true) { Part::Middle } else { Part::First };
                return Some((text(piece), Some(part)));
            }
            if matches!(read, Ok(0) | Err(_)) {
                let is_empty = self.line.is_empty() && !self.continues;
                return (!is_empty).then(|| self.end());
            }
        }
    }

    /// Takes the end of a line: the whole line, or the last piece.
    fn end(&mut self) -> (String, Option<Part>) {
        let part = std::mem::take(&mut self.continues).then_some(Part::Last);
        (text(std::mem::take(&mut self.line)), part)
    }
}

/// Where to split a line over [`MAX_LINE_BYTES`]: between characters if it is UTF-8, otherwise at [`MAX_LINE_BYTES`].
fn boundary(line: &[u8]) -> usize {
    let begins = |at: &usize| line[*at] & 0xC0 != 0x80;
    (MAX_LINE_BYTES - 3..=MAX_LINE_BYTES).rev().find(begins).unwrap_or(MAX_LINE_BYTES)
}

/// The bytes as text, with U+FFFD in place of those that are not UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pieces(output: &[u8]) -> Vec<(String, Option<Part>)> {
        let mut pieces = LineReader::new(output);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.push(piece);
        }
        all
    }

    fn whole(line: &str) -> (String, Option<Part>) {
        (line.to_owned(), None)
    }

    #[tokio::test]
    async fn lines_end_as_they_do_everywhere() {
        assert_eq!(pieces(b"").await, []);
        assert_eq!(pieces(b"a\nb\r\n\nc").await, [whole("a"), whole("b"), whole(""), whole("c")]);
        assert_eq!(pieces(b"\xff\n").await, [whole("\u{fffd}")]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_cut_between_characters_and_its_pieces_are_marked() {
        let fits = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(pieces(format!("{fits}\nb\n").as_bytes()).await, [whole(&fits), whole("b")]);
        assert_eq!(pieces(fits.as_bytes()).await, [whole(&fits)]);
        for character in ["\u{e9}", "\u{20ac}", "\u{1f600}"] {
            let long = format!("x{}", character.repeat(3 * MAX_LINE_BYTES / character.len()));
            let got = pieces(format!("{long}\nb").as_bytes()).await;
            let parts: Vec<_> = got.iter().map(|(_, part)| *part).collect();
            assert_eq!(parts, [Some(Part::First), Some(Part::Middle), Some(Part::Middle), Some(Part::Last), None]);
            let joined: String = got[..4].iter().map(|(piece, _)| piece.as_str()).collect();
            assert!(joined == long, "nothing is broken or lost");
            assert!(got.iter().all(|(piece, _)| piece.len() <= MAX_LINE_BYTES));
        }
        // Bytes that are not UTF-8 are split anywhere.
        let bytes = vec![0x80; 2 * MAX_LINE_BYTES];
        assert_eq!(pieces(&bytes).await.len(), 2);
        // The output may end within a line.
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        assert_eq!(pieces(long.as_bytes()).await[1], ("x".to_owned(), Some(Part::Last)));
    }
}
