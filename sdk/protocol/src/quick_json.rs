//! Reads the JSON of the most frequent frames, in exactly the form in which this crate writes them: the fields in its order, no
//! spaces, strings without escapes; only the values of `data` and `params` may have spaces and escapes. A quick reader that finds
//! any other form gives up. Then serde reads the frame, and serde alone decides what is wrong with it. A frame that is read here is
//! the same as if serde had read it: property tests and fuzzing compare the two.
//!
//! A type of frame has a quick reader only if a call is noticeably faster with it; the file of that type has the figure. To give up
//! is not an error: `None` means nothing but that serde has to read the frame. `frame_reader` does that.

use crate::plain_text::plain_prefix;
#[cfg(any(test, feature = "fuzzing"))]
use crate::{Frame, RawFrame, Unreadable};

/// What the two readers return for one frame, as text: first the quick one, `None` if it gives up, then serde.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) type ReadBothWays = (Option<String>, Result<String, Unreadable>);

/// Reads a frame by both readers, so that tests can compare them.
///
/// # Panics
///
/// If the quick reader gives up and has changed the frame.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_both_ways<'a, B: std::fmt::Debug>(
    frame: RawFrame<'a>,
    quick: impl FnOnce(&mut RawFrame<'a>) -> Option<Frame<B>>,
    serde: impl FnOnce(RawFrame<'a>) -> Result<Frame<B>, Unreadable>,
) -> ReadBothWays {
    let mut left = frame.clone();
    let quick = quick(&mut left).map(|frame| format!("{frame:?}"));
    assert!(quick.is_some() || left == frame, "the quick reader has given up, and not left the frame as it was");
    (quick, serde(frame).map(|frame| format!("{frame:?}")))
}

/// Whether frames of this type are read quickly. Always true; only the benchmark that compares the readers switches some off.
#[cfg(not(feature = "compare-readers"))]
pub(crate) const fn is_on(_frame_type: &str) -> bool {
    true
}

/// Whether frames of this type are read quickly. The environment variable `IXT_BENCH_SERDE` lists those that are not, separated by
/// commas, such as `handle,success`; `handle` stands for `event` too.
#[cfg(feature = "compare-readers")]
pub(crate) fn is_on(frame_type: &str) -> bool {
    static OFF: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let listed = std::env::var("IXT_BENCH_SERDE").unwrap_or_default();
        listed.split(',').filter(|listed| !listed.is_empty()).map(str::to_owned).collect()
    });
    OFF.iter().all(|off| off != frame_type)
}

/// A position in a JSON text. Each method reads what comes next, and moves behind it. If a method returns `None`, the text has
/// another form: the caller gives up. The position is then undefined, and the reader must not be used any more. Only
/// [`skip`](Self::skip), which returns a boolean, leaves the position where it is if something else comes.
pub(crate) struct QuickReader<'a> {
    bytes: &'a [u8],
    /// The same bytes as text, if they are known to be UTF-8. `None`: each string is checked for it.
    known: Option<&'a str>,
    /// The index in `bytes` of the next byte. May be one past the end.
    at: usize,
}

/// How many levels deep lists and objects may be nested in a value that is read here, so that no text can exhaust the stack. At a
/// deeper value the reader gives up.
const MAX_DEPTH: u32 = 64;

impl<'a> QuickReader<'a> {
    /// For bytes that may not be UTF-8: each text that a method returns is checked.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, known: None, at: 0 }
    }

    /// For a text that is known to be UTF-8.
    pub(crate) fn of_text(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), known: Some(text), at: 0 }
    }

    /// `Some` at the end of the text, `None` before it.
    pub(crate) fn end(&self) -> Option<()> {
        (self.at == self.bytes.len()).then_some(())
    }

    /// Reads `literal`, and returns true, if it comes next. Otherwise returns false, and the position stays.
    pub(crate) fn skip<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        let found = self.rest().first_chunk() == Some(literal);
        self.at += if found { N } else { 0 };
        found
    }

    /// Reads `literal`. `None` if something else comes next.
    pub(crate) fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        self.skip(literal).then_some(())
    }

    /// Reads the rest of a string whose opening quote was read, and returns it without quotes. `None` unless all of it is
    /// [plain](crate::plain_text): ASCII that needs no escapes.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += plain_prefix(self.rest());
        let text = self.since(start)?;
        (self.take()? == b'"').then_some(text)
    }

    /// Reads the rest of a string whose opening quote was read, up to the next quote, and returns it without quotes. `None` if
    /// there is no quote. Its bytes are not checked: this is for base64, whose decoder refuses all bytes that are not plain.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.at += memchr::memchr(b'"', self.rest())? + 1;
        Some(&self.bytes[start..self.at - 1])
    }

    /// Reads an unsigned integer below 10^19 without leading zeros. `None` for a larger one, which serde reads, and for anything
    /// else that does not begin with such a number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (mut number, mut digits) = (0_u64, 0);
        let rest = self.rest();
        for byte in rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
        }
        self.at += digits;
        // If a fraction or an exponent follows, the literal that is expected next is not there.
        (digits == 1 || (2..20).contains(&digits) && rest[0] != b'0').then_some(number)
    }

    /// Reads a value of any type, and returns its text, without the spaces before it. `None` for `null`, and for a value that is
    /// nested deeper than 64 levels.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let start = self.at;
        self.skip_value(0)?;
        self.since(start).filter(|value| *value != "null")
    }

    /// The text from `start` to the position. `None` if it is not UTF-8, or the position is past the end.
    fn since(&self, start: usize) -> Option<&'a str> {
        match self.known {
            Some(text) => text.get(start..self.at),
            None => std::str::from_utf8(self.bytes.get(start..self.at)?).ok(),
        }
    }

    /// Reads a value of any type, which must be JSON, without returning it. `depth` is the number of lists and objects around it.
    fn skip_value(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_text(),
            b'{' => self.skip_items(b'}', depth, |this| {
                this.skip_text()?;
                this.expect(b':')
            }),
            b'[' => self.skip_items(b']', depth, |_| Some(())),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.skip_number(),
        }
    }

    /// Reads a list or an object from its opening bracket to the bracket `end`. `head` reads what is before each value: in an
    /// object the key and the colon.
    fn skip_items(&mut self, end: u8, depth: u32, head: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.next()?;
        if depth == MAX_DEPTH {
            return None;
        }
        if self.peek()? == end {
            return self.expect(end);
        }
        loop {
            head(self)?;
            self.skip_value(depth + 1)?;
            match self.next()? {
                b',' => {}
                last if last == end => return Some(()),
                _ => return None,
            }
        }
    }

    fn skip_text(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.at += plain_prefix(self.rest());
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => match self.take()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let digits = self.rest().get(..4)?;
                        self.at += digits.iter().all(u8::is_ascii_hexdigit).then_some(4)?;
                    }
                    _ => return None,
                },
                // `since` checks the whole value for UTF-8.
                0x80.. => {}
                _ => return None,
            }
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.skip_one_of(b"-");
        let zero = self.bytes.get(self.at) == Some(&b'0');
        if self.skip_digits()? > 1 && zero {
            return None;
        }
        if self.skip_one_of(b".") {
            self.skip_digits()?;
        }
        if self.skip_one_of(b"eE") {
            self.skip_one_of(b"+-");
            self.skip_digits()?;
        }
        Some(())
    }

    /// Reads one byte if it is one of `bytes`, and returns whether it was.
    fn skip_one_of(&mut self, bytes: &[u8]) -> bool {
        let found = self.bytes.get(self.at).is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(found);
        found
    }

    /// Reads digits, and returns their number. `None` if there is none.
    fn skip_digits(&mut self) -> Option<usize> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        (digits > 0).then_some(digits)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.at += self.rest().starts_with(word).then_some(word.len())?;
        Some(())
    }

    /// Reads `byte`, and spaces before it. `None` if another byte comes.
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Reads a byte, and spaces before it. `None` at the end.
    fn next(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.take()
    }

    /// Reads spaces, and returns the byte behind them, which is not read. `None` at the end.
    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.bytes.get(self.at).copied()
    }

    /// Reads a byte. `None` at the end.
    fn take(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at).filter(|byte| **byte <= b' ') {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn value(text: &[u8]) -> Option<&str> {
        let mut reader = QuickReader::new(text);
        let value = reader.value()?;
        reader.skip_spaces();
        reader.end()?;
        Some(value)
    }

    #[test]
    fn what_json_is_not_is_not_read() {
        for text in [
            "",
            "{",
            "[",
            "{}x",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "01",
            "-",
            "1.",
            "1e",
            ".5",
            "+1",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12",
            "\"\n\"",
            "[1 2]",
            "{\"a\":}",
            "tru e",
            "'a'",
            "[}",
            "{]",
            "1 2",
        ] {
            assert_eq!(value(text.as_bytes()), None, "{text}");
            assert!(serde_json::from_str::<&RawValue>(text).is_err(), "{text}");
        }
        assert_eq!(value(b"\"\xFF\""), None);
        assert_eq!(value("[".repeat(1000).as_bytes()), None);
    }

    #[test]
    fn numbers_that_are_too_large_or_not_json_are_left_to_serde() {
        for (text, number) in [
            ("0", Some(0)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("10000000000000000000", None),
            ("00", None),
            ("01", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(QuickReader::new(text.as_bytes()).number(), number, "{text}");
        }
    }

    proptest! {
        /// Texts that are almost JSON: if this reader reads one, serde_json reads the same.
        #[test]
        fn what_is_read_is_json(text in "[\\[\\]{},:\" \\\\untrefals0-9.eE+\u{e4}-]{0,24}") {
            if let Some(found) = value(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<&RawValue>(&text).unwrap().get(), found);
            }
        }

        /// JSON that is not nested too deeply is read here.
        #[test]
        fn json_is_read(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            prop_assert_eq!(self::value(text.as_bytes()), Some(text.as_str()));
        }
    }

    /// One of `texts`, with up to two changes.
    pub(crate) fn almost(texts: Vec<&'static str>) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just(String::new()),
            "[ \"\\\\{}\\[\\]:,0-9a-z\u{e4}\n=-]{1,3}",
            prop::sample::select(texts.clone()).prop_flat_map(|text| {
                (0..text.len(), 0..40_usize)
                    .prop_map(move |(at, length)| text.get(at..).unwrap_or_default().chars().take(length).collect())
            }),
        ];
        let change = (any::<prop::sample::Index>(), 0..12_usize, piece);
        (prop::sample::select(texts), prop::collection::vec(change, 0..3)).prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (at, length, piece) in changes {
                let at = at.index(text.len() + 1);
                let end = (at + length).min(text.len());
                text.splice(at..end, piece.chars());
            }
            text.into_iter().collect()
        })
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
