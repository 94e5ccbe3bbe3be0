//! Reads the JSON of the frames that come by the thousand, in the very form in which this crate writes them. For any other, it
//! gives up, and whoever asked reads the text again by `serde_json`, which alone decides what is wrong. So what is read here is
//! what `serde_json` would have read, and that is tested against it.

/// A place in a text. Every method gives `None` where it gives up, and is then somewhere behind.
#[derive(Clone)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    /// The same, if it is known to be UTF-8.
    known: Option<&'a str>,
    at: usize,
}

/// How deep lists and objects may be within one another, so that a text can't exhaust the stack.
const MAX_DEPTH: u32 = 64;

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, known: None, at: 0 }
    }

    /// Of what is known to be UTF-8, so that no part of it need be looked at again for that.
    pub(crate) fn of_text(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), known: Some(text), at: 0 }
    }

    /// The text is at its end.
    pub(crate) fn end(&self) -> Option<()> {
        (self.at == self.bytes.len()).then_some(())
    }

    /// Whether this comes next. Then the place is behind it.
    pub(crate) fn skip<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        let found = self.rest().first_chunk() == Some(literal);
        self.at += if found { N } else { 0 };
        found
    }

    /// This comes next.
    pub(crate) fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        self.skip(literal).then_some(())
    }

    /// The rest of a text whose first quote was read: ASCII, without escapes.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += plain(self.rest());
        let text = self.since(start)?;
        (self.take()? == b'"').then_some(text)
    }

    /// The same without a look at it: for a text that is read again, as base64 is.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.at += memchr::memchr(b'"', self.rest())? + 1;
        Some(&self.bytes[start..self.at - 1])
    }

    /// A natural number below 10^19.
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
        // What comes behind it, such as a point, is no literal then.
        (digits == 1 || (2..20).contains(&digits) && rest[0] != b'0').then_some(number)
    }

    /// Any value but `null`, as it stands there.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let start = self.at;
        self.skip_value(0)?;
        self.since(start).filter(|value| *value != "null")
    }

    /// The beginning of an object: a short text and perhaps a long one, in either order, both plain.
    pub(crate) fn text_beside<const S: usize, const L: usize>(
        &mut self,
        short: &[u8; S],
        long: &[u8; L],
    ) -> Option<(&'a str, Option<&'a str>)> {
        self.literal(b"{")?;
        if self.skip(long) {
            let text = self.text()?;
            self.literal(b",")?;
            self.literal(short)?;
            return Some((self.text()?, Some(text)));
        }
        self.literal(short)?;
        let name = self.text()?;
        let mut behind = self.clone();
        if !(behind.skip(b",") && behind.skip(long)) {
            return Some((name, None));
        }
        let text = behind.text()?;
        *self = behind;
        Some((name, Some(text)))
    }

    /// The text from there to here.
    fn since(&self, start: usize) -> Option<&'a str> {
        match self.known {
            Some(text) => text.get(start..self.at),
            None => std::str::from_utf8(self.bytes.get(start..self.at)?).ok(),
        }
    }

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
            self.at += plain(self.rest());
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
                // Whether it is UTF-8 is seen when it is whole.
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

    fn skip_one_of(&mut self, bytes: &[u8]) -> bool {
        let found = self.bytes.get(self.at).is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(found);
        found
    }

    /// How many digits there were, if there were any.
    fn skip_digits(&mut self) -> Option<usize> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        (digits > 0).then_some(digits)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.at += self.rest().starts_with(word).then_some(word.len())?;
        Some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.take()
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.bytes.get(self.at).copied()
    }

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

/// How many bytes there are before the first that is not plain: a quote, a backslash, a control character, no ASCII.
pub(crate) fn plain(text: &[u8]) -> usize {
    // Most texts are short.
    let (eights, last) = text.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let special = special(u64::from_le_bytes(*eight));
        if special != 0 {
            // That of the first one is right.
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
        if at == SHORT_TEXT {
            return at * 8 + plain_long(&text[at * 8..]);
        }
    }
    eights.len() * 8 + last.iter().take_while(|byte| is_plain(**byte)).count()
}

/// After so many eight bytes a text is a long one.
const SHORT_TEXT: usize = 8;

/// The same in pieces of which the compiler makes vectors: the text may be a megabyte of base64.
fn plain_long(text: &[u8]) -> usize {
    let (pieces, _) = text.as_chunks::<64>();
    let plain = |piece: &[u8; 64]| !piece.iter().fold(false, |found, byte| found | !is_plain(*byte));
    let at = 64 * pieces.iter().take_while(|piece| plain(piece)).count();
    at + text[at..].iter().take_while(|byte| is_plain(**byte)).count()
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7F) && byte != b'"' && byte != b'\\'
}

/// Which of eight bytes are not plain: their highest bits, and perhaps those of bytes behind the first of them.
fn special(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // Of ASCII, the highest bit of each byte shows whether it was below what was taken from it.
    let zero = |bytes: u64| bytes.wrapping_sub(EACH);
    let below_space = eight.wrapping_sub(EACH * 0x20);
    let quote = zero(eight ^ (EACH * u64::from(b'"')));
    let backslash = zero(eight ^ (EACH * u64::from(b'\\')));
    (eight | below_space | quote | backslash) & HIGH
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn each_byte_is_told_from_the_plain_ones_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..80 {
                let mut text = [b'a'; 80];
                text[at] = byte;
                let special = byte.is_ascii_control() && byte != 0x7F || !byte.is_ascii() || b"\"\\".contains(&byte);
                assert_eq!(plain(&text), if special { at } else { 80 }, "{byte:#x} at {at}");
            }
        }
    }

    fn value(text: &[u8]) -> Option<&str> {
        let mut scan = Scan::new(text);
        let value = scan.value()?;
        scan.skip_spaces();
        scan.end()?;
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
    fn numbers_that_are_too_large_or_no_json_are_left_to_others() {
        for (text, number) in [
            ("0", Some(0)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("10000000000000000000", None),
            ("00", None),
            ("01", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(Scan::new(text.as_bytes()).number(), number, "{text}");
        }
    }

    proptest! {
        /// Of texts that are almost JSON: what is read here, serde_json reads too, and as the same.
        #[test]
        fn what_is_read_is_json(text in "[\\[\\]{},:\" \\\\untrefals0-9.eE+\u{e4}-]{0,24}") {
            if let Some(found) = value(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<&RawValue>(&text).unwrap().get(), found);
            }
        }

        /// And of JSON nothing is left to others, if it is not too deep.
        #[test]
        fn json_is_read(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            prop_assert_eq!(self::value(text.as_bytes()), Some(text.as_str()));
        }
    }

    /// Texts that are one of these but for some places, in which something else stands.
    pub(crate) fn almost(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just(String::new()),
            "[ \"\\\\{}\\[\\]:,0-9a-z\u{e4}\n=-]{1,3}",
            prop::sample::select(texts).prop_flat_map(|text| {
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
