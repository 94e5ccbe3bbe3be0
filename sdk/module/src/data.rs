//! Bytes and free-form data: what a service takes and gives where its manifest declares no types.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use ixt_protocol::{Object, decode_base64, deserialize_base64, encode_base64, read_json, serialize_base64};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::middleware::Reply;
use crate::wire::Encode;
use crate::{Error, Result};

/// The payload of a message to a service without a declared request: bytes, whatever they mean.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The bytes, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The payload as text.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if it is not UTF-8.
    pub fn to_text(&self) -> Result<&str> {
        std::str::from_utf8(&self.0).map_err(|error| Error::invalid_input(format!("the payload is not UTF-8: {error}")))
    }

    /// The payload as JSON of type `T`.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT`, naming the path of the key that is wrong.
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

/// Shows the size alone: a payload can be large, and secret.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// What a service without a declared response gives back: a JSON object (seeds: `success(data)`).
///
/// ```
/// use ixt_sdk::{Bytes, Response};
///
/// let response = Response::new().with("result", Bytes::from(b"hello")).with("count", 1);
/// assert_eq!(serde_json::to_string(&response)?, r#"{"count":1,"result":"aGVsbG8="}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    data: Map<String, Value>,
    /// Bytes under a key that is not in `data`.
    bytes: Option<(Cow<'static, str>, Vec<u8>)>,
    /// The first value that was not JSON, and why.
    invalid: Option<String>,
}

impl Response {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value under a key. If the value can't be JSON, such as a map whose keys are not strings, the caller is
    /// answered `INTERNAL` with the reason.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let key = key.into();
        self.bytes.take_if(|(known, _)| *known == key);
        match serde_json::to_value(value) {
            Ok(value) => {
                self.data.insert(key, value);
            }
            Err(error) => {
                self.invalid
                    .get_or_insert_with(|| format!("the value of `{key}` in the response is not JSON: {error}"));
            }
        }
        self
    }

    /// Adds bytes under a key, as [`with`](Self::with) does with [`Bytes`]. They are base64 in JSON, but are not copied to
    /// become that: between modules of this SDK they are sent as they are.
    ///
    /// ```
    /// # use ixt_sdk::Response;
    /// let response = Response::new().with_bytes("result", *b"hello").with("count", 1);
    /// assert_eq!(serde_json::to_string(&response)?, r#"{"count":1,"result":"aGVsbG8="}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn with_bytes(mut self, key: impl Into<Cow<'static, str>>, bytes: impl Into<Vec<u8>>) -> Self {
        let (key, bytes) = (key.into(), bytes.into());
        self.data.remove(&*key);
        let before =
            self.bytes.replace((key, bytes)).filter(|(key, _)| self.bytes.as_ref().is_none_or(|(new, _)| new != key));
        // One value at most can be sent like that.
        if let Some((key, bytes)) = before {
            self.data.insert(key.into_owned(), encode_base64(&bytes).into());
        }
        self
    }

    /// A response from a struct, a map, or `json!({ … })`.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the value is not a JSON object.
    pub fn json(value: impl Serialize) -> Result<Self> {
        match serde_json::to_value(value)? {
            Value::Object(data) => Ok(Self { data, ..Self::new() }),
            _ => Err(Error::internal("a response must be a JSON object")),
        }
    }
}

impl Encode for Response {
    fn encode<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn into_reply(self) -> Result<Reply> {
        let Self { data, bytes, invalid } = self;
        if let Some(reason) = invalid {
            return Err(Error::internal(reason));
        }
        let json = if data.is_empty() { Cow::Borrowed("{}") } else { Cow::Owned(serde_json::to_string(&data)?) };
        let object = Object::trusted(json);
        Ok(Reply::new(match bytes {
            None => object,
            Some((key, bytes)) => object.attach(key, bytes),
        }))
    }
}

impl Serialize for Response {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match &self.invalid {
            None => {
                let mut data = Cow::Borrowed(&self.data);
                if let Some((key, bytes)) = &self.bytes {
                    data.to_mut().insert(key.to_string(), encode_base64(bytes).into());
                }
                data.serialize(serializer)
            }
            Some(reason) => Err(serde::ser::Error::custom(reason)),
        }
    }
}

/// The value as JSON; if it can't be JSON, the reason why, as text. For details that should not make things worse.
pub(crate) fn json_or_reason(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("not JSON: {error}")))
}

/// A value of the manifest's type `bytes`: base64 text in JSON, bytes in Rust. Of a response, the first of its fields that is
/// of this type, and large, is sent as it is between modules of this SDK, as with [`Response::with_bytes`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// The bytes, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serialize_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserialize_base64(deserializer)
    }
}

/// Writes bytes as the base64 text that payloads are on the wire (seeds: `encode_payload`).
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

/// Reads base64 text (seeds: `decode_payload`).
///
/// # Errors
///
/// `INVALID_INPUT` if it is not base64 of the standard alphabet, with padding.
pub fn decode_payload(text: &str) -> Result<Vec<u8>> {
    decode_base64(text).map_err(|error| Error::invalid_input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_several_keys_are_all_in_the_response_and_of_one_key_the_last() {
        let json = |response: &Response| serde_json::to_string(response).unwrap();
        let response = Response::new().with("a", 1).with_bytes("a", *b"one").with_bytes("b", *b"two");
        assert_eq!(json(&response), r#"{"a":"b25l","b":"dHdv"}"#);
        let response = response.with_bytes("b", *b"three").with_bytes("a", *b"");
        assert_eq!(json(&response), r#"{"a":"","b":"dGhyZWU="}"#);
        assert_eq!(json(&response.with("a", 2)), r#"{"a":2,"b":"dGhyZWU="}"#);
    }

    #[test]
    fn a_response_is_a_json_object() {
        let response = Response::json(serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(serde_json::to_string(&response).unwrap(), r#"{"a":1}"#);
        assert_eq!(Response::json([1]).unwrap_err().message(), "a response must be a JSON object");
    }

    #[test]
    fn a_payload_is_base64_text() {
        assert_eq!(decode_payload(&encode_payload(b"\0\xFF")).unwrap(), b"\0\xFF");
        assert_eq!(decode_payload("?").unwrap_err().code(), crate::code::INVALID_INPUT);
    }
}
