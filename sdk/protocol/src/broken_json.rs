//! Finds the `type` and the `id` of a frame that can't be read, even if its JSON is broken, so that the receiver can answer it. The
//! usual case is a `NaN`, which Python and others write, although it is not JSON. Also measures how deeply JSON is nested.

/// How many levels deep lists and objects may be nested in a frame, the frame's own object included. A deeper frame of a known type
/// can't be read ([`Unreadable::Invalid`](crate::Unreadable)). A value in the frame may then have 127 levels of its own,
/// which is as deep as `serde_json` reads.
pub(crate) const MAX_DEPTH: usize = 128;

/// The `type` and the `id` of the outermost object, before or behind the broken part. The escapes of the type are left in it.
///
/// `None` if there is no `type` that is a string in UTF-8, if there are several such, or if a bracket closes that none has opened.
/// The id is `None` if there is no `id` that is an unsigned integer of 64 bits, or if there are several such. A `type` or an `id` of
/// another JSON kind is passed over. What follows a string without an end is not seen.
pub(crate) fn type_and_id(json: &[u8]) -> Option<(String, Option<u64>)> {
    let (mut kind, mut id) = (Occurrence::Absent, Occurrence::Absent);
    let mut depth = 0_usize;
    // The last string, if it may be a key of the outermost object.
    let mut key: Option<&[u8]> = None;
    let mut is_behind_key = false;
    for token in Tokens::new(json) {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1)?,
            Token::Colon => {
                is_behind_key = depth == 1 && key.is_some();
                continue;
            }
            Token::Comma => key = None,
            Token::Text(text) if is_behind_key && key == Some(b"type") => {
                kind.add(std::str::from_utf8(text).ok().map(ToOwned::to_owned));
            }
            Token::Text(text) if depth == 1 && !is_behind_key => {
                key = Some(text);
                continue;
            }
            Token::Word(word) if is_behind_key && key == Some(b"id") => {
                id.add(std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()));
            }
            Token::Text(_) | Token::Word(_) => {}
        }
        is_behind_key = false;
    }
    Some((kind.one()?, id.one()))
}

/// Whether lists and objects are nested in more than `max` levels. Brackets in strings don't count. The text may be broken JSON.
pub(crate) fn is_deeper_than(json: &[u8], max: usize) -> bool {
    // Few texts have more than `max` brackets, and counting brackets is much faster than finding the strings among them.
    if memchr::memchr2_iter(b'{', b'[', json).nth(max).is_none() {
        return false;
    }
    let mut depth = 0_usize;
    Tokens::new(json).any(|token| {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > max
    })
}

/// How many times a key was found in the outermost object with a value of its kind, and the value if it was found once.
enum Occurrence<T> {
    Absent,
    One(T),
    /// Several times, or once with a value of a wrong type.
    Several,
}

impl<T> Occurrence<T> {
    /// Counts an occurrence. `value` is `None` if its type is wrong.
    fn add(&mut self, value: Option<T>) {
        *self = match (&self, value) {
            (Self::Absent, Some(value)) => Self::One(value),
            _ => Self::Several,
        };
    }

    /// The value, if the key was found once with the right type.
    fn one(self) -> Option<T> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}

enum Token<'a> {
    /// `{` or `[`.
    Open,
    /// `}` or `]`.
    Close,
    Colon,
    Comma,
    /// A string, without its quotes and with its escapes.
    Text(&'a [u8]),
    /// A number, a literal, or any other run of characters that is not JSON.
    Word(&'a [u8]),
}

/// The tokens of a text that may not be JSON. Ends early at a string without an end.
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn new(json: &'a [u8]) -> Self {
        Self { rest: json }
    }

    /// The next `length` bytes, which are then taken.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_ascii_start();
        let is_word = |byte: &u8| !b"{}[]:,\" \t\r\n".contains(byte);
        Some(match self.rest.first()? {
            b'{' | b'[' => {
                self.take(1);
                Token::Open
            }
            b'}' | b']' => {
                self.take(1);
                Token::Close
            }
            b':' => {
                self.take(1);
                Token::Colon
            }
            b',' => {
                self.take(1);
                Token::Comma
            }
            b'"' => {
                self.take(1);
                let mut end = 0;
                loop {
                    // `?` ends the tokens at a string without an end.
                    end += memchr::memchr2(b'"', b'\\', self.rest.get(end..)?)?;
                    if self.rest[end] == b'"' {
                        break;
                    }
                    end += 2;
                }
                let text = self.take(end);
                self.take(1);
                Token::Text(text)
            }
            _ => {
                let length = self.rest.iter().take_while(|byte| is_word(byte)).count();
                Token::Word(self.take(length))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_id_are_found_before_and_behind_what_is_broken() {
        let found = |json: &str| type_and_id(json.as_bytes());
        let success = |id| Some(("success".to_owned(), id));
        for json in [
            r#"{"type":"success","id":2,"data":{"mean":NaN}}"#,
            r#"{"id": 2, "data": {"mean": -Infinity, "type": "x", "id": 9}, "type": "success"}"#,
            r#"{"data":[1,,{"a":}],"id":2,"type":"success"}"#,
            r#"{"type":"success","id":2,"data":{"a":"an end is miss"#,
            r#"{"type":"success","id":2,"data":"a \" quote, \\","x":tru}"#,
            r#"{"type":"success","id":2"#,
        ] {
            assert_eq!(found(json), success(Some(2)), "{json}");
        }
        for json in [
            r#"{"type":"success","data":{"mean":NaN}}"#,
            r#"{"type":"success","id":"2","data":NaN}"#,
            r#"{"type":"success","id":-2,"data":NaN}"#,
            r#"{"type":"success","id":2,"id":3,"data":NaN}"#,
            r#"{"type":"success","data":{"id":2},"x":["id",3]}"#,
            r#"{"type":"success","x":"id","id"#,
        ] {
            assert_eq!(found(json), success(None), "{json}");
        }
        for json in [
            "",
            "Traceback (most recent call last):",
            r"{'type':'success','id':2}",
            r#"{"id":2,"data":{"type":"success"}}"#,
            r#"{"type":"success","type":"error","id":2,"data":NaN}"#,
            r#"{"type":7,"id":2}"#,
            r#"[{"type":"success","id":2}]"#,
            r#"}{"type":"success"}"#,
        ] {
            assert_eq!(found(json), None, "{json}");
        }
        assert_eq!(type_and_id(b"{\"type\":\"\xFF\",\"id\":2}"), None);
        assert_eq!(type_and_id(b"{\"type\":\"success\",\"id\":2,\"data\":\"\xFF\"}"), success(Some(2)));
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        assert!(!is_deeper_than(br#"{"a":["[[[["]}"#, 2));
        assert!(is_deeper_than(br#"{"a":[[1]]}"#, 2));
        assert!(!is_deeper_than(b"[{},{},[],[]]", 2));
        assert!(is_deeper_than("[".repeat(20_000).as_bytes(), MAX_DEPTH));
    }
}
