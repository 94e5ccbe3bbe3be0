//! The two framings, which separate frames on the wire, and how a frame is written in each.
//! [`FrameDecoder`](crate::FrameDecoder) does the opposite: it cuts a stream into frames.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How frames are separated on the wire. The host begins in the one that the module's manifest asks for, [`Framing::Line`] if it
/// asks for none, and the module may pick another one in its reply to `init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Each frame is its JSON object, then `\n`. The writer replaces line ends between the values of an object by spaces. A frame
    /// in this framing has no attachment.
    #[default]
    Line,
    /// Each frame is a length in four bytes, little-endian, then the JSON object. With an attachment, the highest bit of the length
    /// is set, and behind it come the length of the JSON in four bytes, the JSON, and the attachment. The first length counts all
    /// of these.
    Length,
}

/// The largest limit of a frame's size with which [`Framing::Length`] can be used, in bytes: just below 144 MiB.
///
/// A reader recognizes a length by its fourth byte. Up to this limit that byte is below 0x09, apart from the bit for an attachment,
/// and no JSON text has such a byte. With a larger limit a host offers only [`Framing::Line`], and the SDK does not pick
/// [`Framing::Length`].
pub const MAX_LENGTH_FRAME_BYTES: usize = 0x0900_0000 - 1;

/// The bit of a length that marks a frame with an attachment.
pub(crate) const ATTACHED: u32 = 1 << 31;

impl Framing {
    /// Every framing.
    const ALL: [Self; 2] = [Self::Line, Self::Length];

    /// The framing's name in a manifest, in `init` and in the reply to it: `line` or `length`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Length => "length",
        }
    }

    /// Appends a frame. `write` appends its JSON. Returns the frame's size in bytes, without the line's end or the first length.
    /// The attachment counts.
    ///
    /// In [`Framing::Line`], `attachment` must be `None`: `write` has to put the bytes into the JSON as base64. A size of 2 GiB or
    /// more does not fit into a length and is written wrong; the caller recognizes such a frame by the returned size, and does not
    /// send it.
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

    /// Appends a frame without its attachment, which the caller sends right behind it. `attachment` is the size of the attachment
    /// in bytes; `None` if there is none. Returns what [`write`](Self::write) returns for the whole frame.
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
                // Objects are passed on as they came, and may have line ends between their values. A space means the same there.
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

/// From the framing's name, exactly as [`as_str`](Framing::as_str) returns it. Any other text is an [`UnknownFraming`].
impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(name: &str) -> Result<Self, UnknownFraming> {
        let found = Self::ALL.into_iter().find(|framing| framing.as_str() == name);
        found.ok_or_else(|| UnknownFraming { name: name.to_owned() })
    }
}

/// The error of a name that no [`Framing`] has. Its message quotes the name and lists all framings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFraming {
    /// The name that was parsed.
    pub name: String,
}

impl fmt::Display for UnknownFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [line, length] = Framing::ALL.map(Framing::as_str);
        write!(f, "there is no framing {:?}: expected {line:?} or {length:?}", self.name)
    }
}

impl std::error::Error for UnknownFraming {}

/// A frame as it was on the wire, from [`FrameDecoder::next_frame`](crate::FrameDecoder::next_frame). Its JSON is not read yet:
/// [`HostFrame::read`](crate::HostFrame::read) and [`ModuleFrame::read`](crate::ModuleFrame::read) do that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// The framing in which it came. Reading does not use it.
    pub framing: Framing,
    /// Its JSON object, without the line's end or the lengths. The decoder does not check it: these may be any bytes, also none.
    pub json: &'a [u8],
    /// The attachment, or `None` if the frame has none. It is owned if 32 KiB or more of it had not come yet when the frame's JSON
    /// was there; a receiver can then keep it without a copy. Otherwise it is borrowed from the decoder's buffer.
    pub attachment: Option<Cow<'a, [u8]>>,
}

/// A frame in [`Framing::Line`] without an attachment, of its JSON without the line end.
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
        // The last byte of a length never occurs in JSON text: it is below a tab.
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES).unwrap().to_le_bytes()[3], b'\t' - 1);
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES + 1).unwrap().to_le_bytes()[3], b'\t');
    }

    #[test]
    fn the_error_of_an_unknown_name_lists_the_framings() {
        let error = "Line".parse::<Framing>().unwrap_err();
        assert_eq!(error.to_string(), r#"there is no framing "Line": expected "line" or "length""#);
    }
}
