//! The free-form response of a service for which the manifest declares no `response`. Declared ones are types of generated code.

use std::borrow::Cow;

use ixt_protocol::{Object, encode_base64};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::reply::{IntoReply, Reply};

/// The response of a service for which the manifest declares no `response`: a JSON object with any keys. It is the `success(data)` of the
/// Python and Node.js SDKs.
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
    /// A key that is not in `data`, and the bytes that are its value: they can be sent raw.
    bytes: Option<(Cow<'static, str>, Vec<u8>)>,
    /// Set by the first value that JSON can't express: the reason, which becomes the error reply. `None` if there is none.
    invalid: Option<String>,
}

impl Response {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, in place of an earlier value. If the value can't be JSON (a map whose keys are not strings, say), the reply becomes the
    /// error `INTERNAL`, which names the first such key, even if the key is set again. A float that is not finite becomes `null`.
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

    /// Sets a key to bytes, as [`with`](Self::with) does with [`Bytes`](crate::Bytes), but faster for 64 bytes or more: these are sent raw
    /// if the host and the module have negotiated that. Otherwise they are base64 text in the JSON. If several keys are set to bytes, only
    /// those of the last one are sent raw, and none if it has fewer than 64.
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
        // A frame has at most one attachment.
        if let Some((key, bytes)) = before {
            self.data.insert(key.into_owned(), encode_base64(&bytes).into());
        }
        self
    }

    /// Makes a response from a struct, a map, or `json!({ … })`. Bytes in it are never sent raw.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the value is something else than an object in JSON, or can't be JSON at all.
    pub fn json(value: impl Serialize) -> Result<Self> {
        match serde_json::to_value(value)? {
            Value::Object(data) => Ok(Self { data, ..Self::new() }),
            _ => Err(Error::internal("a response must be a JSON object")),
        }
    }
}

impl IntoReply for Response {
    fn into_reply(self) -> Result<Reply> {
        let Self { data, bytes, invalid } = self;
        if let Some(reason) = invalid {
            return Err(Error::internal(reason));
        }
        let object = if data.is_empty() { Object::empty() } else { Object::serialize(&data)? };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_several_keys_are_all_in_the_response_and_a_key_has_the_last() {
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
}
