//! Bytes as base64 text, as JSON carries them: payloads, and values of type `bytes`. Standard alphabet, padded
//! (RFC 4648, section 4).

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

use crate::json_writer as write;
use crate::quick_json::plain;

/// Why a text is not base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Error(base64::DecodeError);

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not base64: {}", self.0)
    }
}

impl std::error::Error for Base64Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A text that is said to be base64, and goes on as it came: it is looked at, and not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Text<'a> {
    text: Cow<'a, str>,
    /// Nothing in it has to be escaped.
    is_plain: bool,
}

impl<'a> Base64Text<'a> {
    /// Of a text in which the scan has found nothing to escape.
    pub(crate) fn plain(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), is_plain: true }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Base64Text<'_> {
        Base64Text { text: Cow::Borrowed(&self.text), is_plain: self.is_plain }
    }

    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Base64Text<'static> {
        Base64Text { text: Cow::Owned(self.text.into_owned()), is_plain: self.is_plain }
    }

    /// Appends it in quotes.
    pub(crate) fn write(&self, output: &mut Vec<u8>) {
        if self.is_plain { write::plain_text(&self.text, output) } else { write::value(&self.text, output) }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Base64Text<'a> {
    fn from(text: T) -> Self {
        let text = text.into();
        let is_plain = plain(text.as_bytes()) == text.len();
        Self { text, is_plain }
    }
}

/// Writes bytes as base64 text.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Appends bytes as base64 text.
pub(crate) fn append_base64(bytes: &[u8], output: &mut Vec<u8>) {
    base64_simd::STANDARD.encode_append(bytes, output);
}

/// Reads base64 text.
///
/// # Errors
///
/// If the text holds anything outside the standard alphabet, or is not padded.
pub fn decode_base64(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_ref();
    // The fast one doesn't tell what is wrong.
    base64_simd::STANDARD.decode_to_vec(text).or_else(|_| STANDARD.decode(text)).map_err(Base64Error)
}

/// For `#[serde(serialize_with)]`.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize_base64<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode_base64(bytes.as_ref()))
}

/// The name by which an attachment is asked for its bytes.
pub(crate) const BASE64: &str = "$ixt::base64";

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// If the value is not a string of base64.
pub fn deserialize_base64<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<Vec<u8>>,
{
    struct Base64Visitor;

    impl<'de> Visitor<'de> for Base64Visitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string of base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            decode_base64(text).map_err(E::custom)
        }

        /// What is attached to a frame.
        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        /// And what is not.
        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
            deserializer.deserialize_str(self)
        }
    }

    deserializer.deserialize_newtype_struct(BASE64, Base64Visitor).map(T::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_passed_on_as_it_is_and_what_is_wrong_with_it_is_told() {
        let text = Base64Text::plain("aGk=");
        assert_eq!((text.as_str(), text.borrowed().into_owned().as_str()), ("aGk=", "aGk="));
        let error = decode_base64("aGk").unwrap_err();
        assert_eq!(error.to_string(), "not base64: Invalid padding");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "Invalid padding");
    }

    proptest! {
        #[test]
        fn bytes_are_written_and_read_as_by_the_plain_crate(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = STANDARD.encode(&bytes);
            prop_assert_eq!(&encode_base64(&bytes), &text);
            let mut output = b"x".to_vec();
            append_base64(&bytes, &mut output);
            prop_assert_eq!(output, format!("x{text}").into_bytes());
            prop_assert_eq!(base64_simd::STANDARD.decode_to_vec(&text).unwrap(), bytes);
        }

        /// Also texts that are almost base64: with another alphabet, wrong padding, bits behind the end.
        #[test]
        fn a_text_is_refused_if_and_only_if_the_plain_crate_does(text in "[AQgw/+_=\\- \nz]{0,12}", front in 0_usize..60) {
            let text = "A".repeat(front) + &text;
            prop_assert_eq!(base64_simd::STANDARD.decode_to_vec(&text).ok(), STANDARD.decode(&text).ok(), "{}", text);
        }

        #[test]
        fn one_wrong_byte_is_found_wherever_it_is(mut bytes in prop::collection::vec(any::<u8>(), 1..400), at: prop::sample::Index, wrong: u8) {
            bytes = STANDARD.encode(&bytes).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = wrong;
            prop_assert_eq!(base64_simd::STANDARD.decode_to_vec(&bytes).ok(), STANDARD.decode(&bytes).ok());
        }
    }
}
