//! The payload of a message: either bytes, or base64 text that was not decoded. The host keeps the form in which a payload arrived,
//! and never decodes the text.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::json_writer;
use crate::plain_text::is_plain;
use crate::{Base64Error, decode_base64, deserialize_base64};

/// The payload of a message.
///
/// A payload that was read from a `handle` or an `event` is always [`WirePayload::Bytes`]. [`WirePayload::Base64`] is for the host:
/// if the payload of a module's call or event is text in the parameters, the host writes that text into the `handle` or `event`
/// without decoding it. The two forms are never equal, even if they stand for the same bytes. A message without a payload has empty
/// bytes; a `handle` or an `event` without the field can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WirePayload<'a> {
    /// Bytes. On the wire they are base64 text, or, from 64 bytes on in [`Framing::Length`](crate::Framing::Length), an
    /// attachment.
    Bytes(Cow<'a, [u8]>),
    /// Text that should be base64 but was not checked. It is written to the wire as it is, never as an attachment. If it is not
    /// base64, the receiver of the frame finds that out.
    Base64(Base64Text<'a>),
}

impl<'a> WirePayload<'a> {
    /// Returns the bytes. Decodes a [`WirePayload::Base64`]; otherwise copies nothing.
    ///
    /// # Errors
    ///
    /// If the payload is [`WirePayload::Base64`] and its text is not base64.
    pub fn into_bytes(self) -> Result<Cow<'a, [u8]>, Base64Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Base64(text) => decode_base64(text.as_str()).map(Cow::Owned),
        }
    }

    /// The same payload without borrows. Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> WirePayload<'static> {
        match self {
            Self::Bytes(bytes) => WirePayload::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Base64(text) => WirePayload::Base64(text.into_owned()),
        }
    }

    /// The same payload, borrowed from this one. Copies nothing.
    #[must_use]
    pub fn borrowed(&self) -> WirePayload<'_> {
        match self {
            Self::Bytes(bytes) => WirePayload::Bytes(Cow::Borrowed(bytes)),
            Self::Base64(text) => WirePayload::Base64(text.borrowed()),
        }
    }
}

impl<'a> From<&'a [u8]> for WirePayload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for WirePayload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

/// From base64 text, which is decoded to [`WirePayload::Bytes`]. Fails if the value is not a string of base64.
impl<'de> Deserialize<'de> for WirePayload<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_base64(deserializer).map(|bytes: Vec<u8>| Self::Bytes(Cow::Owned(bytes)))
    }
}

/// Text that should be base64 and is passed on as it came. It may be any text: only decoding shows whether it is base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Text<'a> {
    text: Cow<'a, str>,
    /// Whether the text can be written without escapes. Found out once, since the text may be long.
    is_plain: bool,
}

impl Base64Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text, borrowed from this one. Copies nothing.
    #[must_use]
    pub fn borrowed(&self) -> Base64Text<'_> {
        Base64Text { text: Cow::Borrowed(&self.text), is_plain: self.is_plain }
    }

    /// The same text without borrows. Copies it if it is borrowed.
    #[must_use]
    pub fn into_owned(self) -> Base64Text<'static> {
        Base64Text { text: Cow::Owned(self.text.into_owned()), is_plain: self.is_plain }
    }

    /// Appends the text as a JSON string, in quotes.
    pub(crate) fn write(&self, output: &mut Vec<u8>) {
        if self.is_plain {
            json_writer::plain_text(&self.text, output);
        } else {
            json_writer::value(&self.text, output);
        }
    }
}

/// From any text, without a check that it is base64. Looks at the whole text once, for characters that need an escape.
impl<'a, T: Into<Cow<'a, str>>> From<T> for Base64Text<'a> {
    fn from(text: T) -> Self {
        let text = text.into();
        let is_plain = is_plain(&text);
        Self { text, is_plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_passed_on_as_it_is() {
        let text = Base64Text::from("aGk=");
        assert_eq!((text.as_str(), text.borrowed().into_owned().as_str()), ("aGk=", "aGk="));
    }

    #[test]
    fn characters_that_need_an_escape_get_one() {
        for (text, json) in [("aGk=", r#""aGk=""#), ("\u{1}\"", r#""\u0001\"""#)] {
            let mut output = Vec::new();
            Base64Text::from(text).write(&mut output);
            assert_eq!(String::from_utf8(output).unwrap(), json);
        }
    }
}
