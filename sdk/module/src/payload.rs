//! The payload of a request or an event as bytes, and the reading of declared types from it.

use std::fmt;
use std::ops::Deref;

use ixt_protocol::{decode_base64, encode_base64, read_json};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The payload of a request or an event, as bytes; empty if the caller has sent none. A handler gets it as it came (or as middleware has
/// changed it) if the manifest declares no `request` of the service, or no `payload` of the event.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// Takes the bytes out.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Reads the payload as text, which is empty if the payload is.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if it is not UTF-8.
    pub fn to_text(&self) -> Result<&str> {
        std::str::from_utf8(&self.0).map_err(|error| Error::invalid_input(format!("the payload is not UTF-8: {error}")))
    }

    /// Reads the payload as JSON. An empty payload is an error here, since it is not JSON; for a declared type, the SDK takes it as `{}`. A
    /// generated type checks the rules of the manifest.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if it is not JSON of this type: the first mistake, with the path of the wrong key in the message and in the detail
    /// `path`. Without the path if the value as a whole is wrong.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T> {
        read_json(&self.0).map_err(|invalid| Error::invalid_json("the payload is wrong", &invalid))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Self {
        payload.0
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows the size only: a payload can be large, and can hold secrets.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// The types that a handler's method can take as its request or event: a declared type, or [`Payload`]. The SDK calls it before the method.
/// The test harness calls it for what the module sends to a stub or publishes.
pub trait FromPayload: Sized + Send {
    /// Reads the value from the payload. For a declared type, an empty payload stands for `{}`. A [`Payload`] is always right.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if the payload is not JSON of this type, with the path of the wrong key in the message and in the detail `path`.
    /// Without the path if the value as a whole is wrong.
    fn read(payload: Payload) -> Result<Self>;
}

impl FromPayload for Payload {
    fn read(payload: Payload) -> Result<Self> {
        Ok(payload)
    }
}

impl<T: DeserializeOwned + Send> FromPayload for T {
    fn read(payload: Payload) -> Result<Self> {
        // PROTOCOL.md: an empty payload stands for an empty object.
        let json: &[u8] = if payload.is_empty() { b"{}" } else { &payload };
        read_json(json).map_err(|invalid| Error::invalid_json("the request is wrong", &invalid))
    }
}

/// The types that the test harness can send as a request or an event: a declared type, or [`Payload`].
#[cfg(feature = "testing")]
pub trait IntoPayload {
    /// The payload: JSON for a declared type, the bytes as they are for a [`Payload`].
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the value can't be JSON.
    fn to_payload(&self) -> Result<Vec<u8>>;
}

#[cfg(feature = "testing")]
impl IntoPayload for Payload {
    fn to_payload(&self) -> Result<Vec<u8>> {
        Ok(self.to_vec())
    }
}

#[cfg(feature = "testing")]
impl<T: serde::Serialize> IntoPayload for T {
    fn to_payload(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
}

/// Encodes bytes as base64 text (RFC 4648, standard alphabet, padded, without line ends): the `encode_payload` of the Python and Node.js
/// SDKs. No bytes become the empty text. It is the form of a payload within the JSON of a frame. In this SDK the payloads of handlers and
/// calls are bytes, which need no encoding.
///
/// ```
/// let text = ixt_sdk::encode_payload(b"hello world");
/// assert_eq!(text, "aGVsbG8gd29ybGQ=");
/// assert_eq!(ixt_sdk::decode_payload(&text).unwrap(), b"hello world");
/// ```
#[must_use]
pub fn encode_payload(bytes: impl AsRef<[u8]>) -> String {
    encode_base64(bytes.as_ref())
}

/// Decodes base64 text: the `decode_payload` of the Python and Node.js SDKs. The empty text is no bytes.
///
/// # Errors
///
/// `INVALID_INPUT` if the text is not base64 of the standard alphabet (RFC 4648) with padding. White space and line ends are errors too.
pub fn decode_payload(text: &str) -> Result<Vec<u8>> {
    decode_base64(text).map_err(|error| Error::invalid_input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_base64_text() {
        assert_eq!(decode_payload(&encode_payload(b"\0\xFF")).unwrap(), b"\0\xFF");
        assert_eq!(decode_payload("?").unwrap_err().code(), crate::code::INVALID_INPUT);
    }
}
