//! Base64: the form of bytes in JSON, for payloads and for values of the type `bytes`. Standard alphabet, with padding (RFC 4648,
//! section 4). base64-simd encodes and decodes; for a text that it refuses, the crate `base64` says what is wrong.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Why a text is not base64. Displays as `not base64: ` and the reason, which may quote one byte of the text and its offset.
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

/// Encodes bytes as base64 text in the standard alphabet, with padding and without line ends. No bytes become the empty text.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Appends bytes as base64 text, without quotes.
pub(crate) fn append_base64(bytes: &[u8], output: &mut Vec<u8>) {
    base64_simd::STANDARD.encode_append(bytes, output);
}

/// Decodes base64 text. The empty text is no bytes.
///
/// # Errors
///
/// If the text has a character outside the standard alphabet (whitespace included), lacks padding, or has set bits behind its last
/// byte. The error says which, and quotes at most one byte.
pub fn decode_base64(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_ref();
    // base64-simd does not say what is wrong.
    base64_simd::STANDARD.decode_to_vec(text).or_else(|_| STANDARD.decode(text)).map_err(Base64Error)
}

/// Serializes bytes as a string of base64, for `#[serde(serialize_with)]`.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize_base64<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode_base64(bytes.as_ref()))
}

/// [`deserialize_base64`] asks its deserializer for a newtype struct with this name. The deserializer of an
/// [`Object`](crate::Object) recognizes the name, and passes attached bytes on as they are. Every other deserializer ignores it.
pub(crate) const BASE64: &str = "$ixt::base64";

/// Deserializes bytes from a string of base64, for `#[serde(deserialize_with)]`. Within [`Object::read`](crate::Object::read) it
/// takes the bytes outside of the JSON, if they are the value of this field, without base64 in between.
///
/// # Errors
///
/// If the value is not a string of base64; `null` is an error too.
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

        /// Attached bytes.
        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        /// A value in a format without newtype structs, such as JSON: it passes its own deserializer.
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
    fn an_error_says_what_is_wrong() {
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

        /// Among the texts are ones that are almost base64: with another alphabet, wrong padding, bits behind the end.
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
