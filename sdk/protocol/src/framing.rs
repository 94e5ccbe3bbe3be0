//! How frames follow one another on the wire, and how the JSON of one frame is put between the ones before and after it. The
//! other direction, cutting a stream into frames, is [`FrameDecoder`](crate::FrameDecoder).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How frames follow one another on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Each frame is one line: its JSON object, then `\n`. A frame in this framing has no attachment.
    #[default]
    Line,
    /// Each frame is its length in four bytes, then its JSON object, and then its attachment, if it has one.
    Length,
}

/// The largest limit of a frame's size with which [`Framing::Length`] can be used, in bytes: just below 144 MiB.
///
/// A reader recognizes a length by its fourth byte. Up to this limit that byte is below 0x09, which no byte of JSON text is. With
/// a larger limit only [`Framing::Line`] can be offered.
pub const MAX_LENGTH_FRAME_BYTES: usize = 0x0900_0000 - 1;

/// The bit of a length that marks a frame with an attachment.
pub(crate) const ATTACHED: u32 = 1 << 31;

impl Framing {
    /// Every framing.
    const ALL: [Self; 2] = [Self::Line, Self::Length];

    /// The framing's name in `init` and in the reply to it: `line` or `length`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Length => "length",
        }
    }

    /// Appends a frame. `write` appends its JSON. Returns the frame's size as the limit counts it: without the line's end or the
    /// first length.
    ///
    /// [`Framing::Line`] cannot carry an attachment: the caller passes `None` there.
    pub(crate) fn write(
        self,
        write: impl FnOnce(&mut Vec<u8>),
        attachment: Option<&[u8]>,
        output: &mut Vec<u8>,
    ) -> usize {
        let bytes = self.write_before_attachment(write, attachment.map(<[u8]>::len), output);
        output.extend_from_slice(attachment.unwrap_or_default());
        bytes
    }

    /// Appends a frame without its attachment; `attachment` is that one's size. The caller sends the attachment right behind it.
    /// Returns the size of the whole frame, attachment included.
    pub(crate) fn write_before_attachment(
        self,
        write: impl FnOnce(&mut Vec<u8>),
        attachment: Option<usize>,
        output: &mut Vec<u8>,
    ) -> usize {
        let start = output.len();
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX) & !ATTACHED;
        match (self, attachment) {
            (Self::Line, _) => {
                write(output);
                // JSON that is passed on as it came may have line ends between its values. A space means the same there.
                let mut from = start;
                while let Some(at) = memchr::memchr(b'\n', &output[from..]) {
                    output[from + at] = b' ';
                    from += at + 1;
                }
                output.push(b'\n');
                output.len() - start - 1
            }
            (Self::Length, None) => {
                output.extend_from_slice(&[0; 4]);
                write(output);
                let bytes = output.len() - start - 4;
                output[start..start + 4].copy_from_slice(&length(bytes).to_le_bytes());
                bytes
            }
            (Self::Length, Some(attachment)) => {
                output.extend_from_slice(&[0; 8]);
                write(output);
                let json = output.len() - start - 8;
                let bytes = 4 + json + attachment;
                output[start..start + 4].copy_from_slice(&(length(bytes) | ATTACHED).to_le_bytes());
                output[start + 4..start + 8].copy_from_slice(&length(json).to_le_bytes());
                bytes
            }
        }
    }
}

/// From the framing's name, in lower case.
impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(name: &str) -> Result<Self, UnknownFraming> {
        let found = Self::ALL.into_iter().find(|framing| framing.as_str() == name);
        found.ok_or_else(|| UnknownFraming { name: name.to_owned() })
    }
}

/// A name that no [`Framing`] has. Its message quotes the name and lists the framings that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFraming {
    /// The name that was looked up.
    pub name: String,
}

impl fmt::Display for UnknownFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [line, length] = Framing::ALL.map(Framing::as_str);
        write!(f, "there is no framing {:?}: expected {line:?} or {length:?}", self.name)
    }
}

impl std::error::Error for UnknownFraming {}

/// A frame as it was on the wire: its JSON is not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// The framing in which it came.
    pub framing: Framing,
    /// The text of its JSON object. It was not looked at: it may be anything.
    pub json: &'a [u8],
    /// The attachment, or `None` if the frame has none. If 32 KiB or more of it came after the
    /// frame's JSON, it is owned: it was read into a buffer of its own, and can be taken out without a copy.
    pub attachment: Option<Cow<'a, [u8]>>,
}

/// A frame in [`Framing::Line`], without its line end.
impl<'a> From<&'a [u8]> for RawFrame<'a> {
    fn from(json: &'a [u8]) -> Self {
        Self { framing: Framing::Line, json, attachment: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_MAX_FRAME_BYTES;

    #[test]
    fn json_that_is_passed_on_with_line_ends_is_still_one_line() {
        let json = |output: &mut Vec<u8>| output.extend_from_slice(b"{\n  \"a\": \"\\n\"\n}");
        let mut line = Vec::new();
        Framing::Line.write(json, None, &mut line);
        assert_eq!(line, b"{   \"a\": \"\\n\" }\n");
    }

    #[test]
    fn a_frame_with_a_length_says_its_size_that_of_its_json_and_whether_bytes_follow() {
        let mut stream = b"before".to_vec();
        let json = |output: &mut Vec<u8>| output.extend_from_slice(b"{\"a\":1}");
        assert_eq!(Framing::Length.write(json, Some(b"hi!"), &mut stream), 4 + 7 + 3);
        assert_eq!(stream, b"before\x0e\0\0\x80\x07\0\0\0{\"a\":1}hi!");
        stream.clear();
        assert_eq!(Framing::Length.write_before_attachment(json, Some(300), &mut stream), 4 + 7 + 300);
        assert_eq!(stream, b"\x37\x01\0\x80\x07\0\0\0{\"a\":1}");
        stream.clear();
        assert_eq!(Framing::Length.write(json, None, &mut stream), 7);
        assert_eq!(stream, b"\x07\0\0\0{\"a\":1}");
    }

    #[test]
    fn the_names_and_limits_are_those_of_the_document() {
        assert_eq!((Framing::Line.as_str(), Framing::Length.as_str()), ("line", "length"));
        assert_eq!(["line", "length"].map(str::parse), [Ok(Framing::Line), Ok(Framing::Length)]);
        assert_eq!((DEFAULT_MAX_FRAME_BYTES, MAX_LENGTH_FRAME_BYTES), (16_777_216, 150_994_943));
        // The last byte of a length is none of which JSON text consists: not even a tab.
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES).unwrap().to_le_bytes()[3], b'\t' - 1);
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES + 1).unwrap().to_le_bytes()[3], b'\t');
    }

    #[test]
    fn a_name_that_no_framing_has_is_told_with_those_that_there_are() {
        let error = "Line".parse::<Framing>().unwrap_err();
        assert_eq!(error.to_string(), r#"there is no framing "Line": expected "line" or "length""#);
    }
}
