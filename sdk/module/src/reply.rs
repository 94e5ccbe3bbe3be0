//! The successful reply of a handler, as a JSON object that is ready to be sent. A reply that is too large for the host becomes an error
//! later, when it is sent: `outgoing/sending.rs`.

use std::borrow::Cow;
use std::cell::RefCell;

use ixt_protocol::Object;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::types::{Apart, Encode};

/// The successful reply of a handler: a JSON object, encoded already. A [middleware](crate::middleware) gets it from the handler, and can
/// read it with [`to_json`](Self::to_json), but not change it.
#[derive(Debug, Clone)]
pub struct Reply(Object<'static>);

/// The types that a service's handler can return: a response of a declared type, or a [`Response`](crate::Response).
pub trait IntoReply {
    /// Writes the response as JSON, without checking the manifest's rules.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if JSON can't express it, or if it is not an object in JSON, which a type of the author's may be. JSON can't express a
    /// float of a declared type that is not finite, or a path that is not UTF-8. A [`Response`](crate::Response) fails if one of the values
    /// that it was given can't be JSON.
    fn into_reply(self) -> Result<Reply>;
}

impl<T: Encode> IntoReply for T {
    fn into_reply(self) -> Result<Reply> {
        Reply::encode(&self)
    }
}

impl Reply {
    /// A reply with this object.
    pub(crate) fn new(data: Object<'static>) -> Self {
        Self(data)
    }

    /// Encodes a value of a generated type. The first field of a record that is of the type `bytes` and has 64 bytes or more is kept
    /// outside of the JSON, so that it can be sent without base64. `INTERNAL` if JSON can't express the value, or if it is not an object.
    pub(crate) fn encode(value: &impl Encode) -> Result<Self> {
        struct Whole<'a, T>(&'a T, RefCell<Apart>);

        impl<T: Encode> Serialize for Whole<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.encode_apart(serializer, &mut self.1.borrow_mut())
            }
        }

        let whole = Whole(value, RefCell::default());
        let object = Object::serialize(&whole)?;
        Ok(Self(match whole.1.into_inner() {
            None => object,
            Some((key, bytes)) => object.attach(key, bytes),
        }))
    }

    /// Encodes a value that serde writes as an object. `INTERNAL` if it is something else.
    pub(crate) fn json(data: &impl Serialize) -> Result<Self> {
        Ok(Self(Object::serialize(data)?))
    }

    /// The object as JSON text. Bytes in it, such as those of [`Response::with_bytes`](crate::Response::with_bytes), are base64,
    /// even if they are sent raw.
    #[must_use]
    pub fn to_json(&self) -> Cow<'_, str> {
        self.0.to_json()
    }

    pub(crate) fn into_object(self) -> Object<'static> {
        self.0
    }
}
