//! The serde deserializer of an [`Object`](crate::Object) with bytes outside of the JSON, its attached value. A field that is read by
//! [`deserialize_base64`](crate::deserialize_base64) gets the bytes as they are; one that is read in another way gets base64 text.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::base64_text::{BASE64, encode_base64};

/// The deserializer of an object: `key` with the attached bytes as its value, then the entries in `json`. If `json` has `key` too, the
/// type that is read finds the key twice: see [`Object::attach`](crate::Object::attach).
pub(crate) struct WithAttached<'a> {
    /// The JSON text of the object, without `key`.
    pub(crate) json: &'a str,
    /// The key of the attached bytes.
    pub(crate) key: &'a str,
    /// The attached bytes; `None` in it after the object was read if a field has taken them.
    pub(crate) bytes: &'a TakeableBytes,
}

/// The attached bytes. The first field that is read by [`deserialize_base64`](crate::deserialize_base64) takes them, so that they are
/// not copied. From then on it is `None`, and a later reader gets empty bytes.
pub(crate) type TakeableBytes = RefCell<Option<Vec<u8>>>;

impl<'de> Deserializer<'de> for WithAttached<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.json);
        json.deserialize_map(AttachedFirst { visitor, key: self.key, bytes: self.bytes })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Passes a map to `visitor` that has the attached entry first, and then the entries of the JSON.
struct AttachedFirst<'a, V> {
    visitor: V,
    key: &'a str,
    bytes: &'a TakeableBytes,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for AttachedFirst<'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, rest: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Entries { attached: Some((self.key, self.bytes)), value: None, rest })
    }
}

/// The entries of the object: the attached one, then those in the JSON.
struct Entries<'a, A> {
    /// The attached entry; `None` once its key was given out.
    attached: Option<(&'a str, &'a TakeableBytes)>,
    /// The attached bytes, after their key and before their value was asked for; otherwise `None`.
    value: Option<&'a TakeableBytes>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.attached.take() {
            None => self.rest.next_key_seed(seed),
            Some((key, bytes)) => {
                self.value = Some(bytes);
                seed.deserialize(StrDeserializer::new(key)).map(Some)
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.value.take() {
            None => self.rest.next_value_seed(seed),
            Some(bytes) => seed.deserialize(AttachedBytes { bytes, error: PhantomData }),
        }
    }
}

/// The deserializer of the attached value: takes the bytes if it is asked for a newtype struct named [`BASE64`]. Otherwise it is a
/// string of base64, as if the value stood in the JSON.
struct AttachedBytes<'a, E> {
    bytes: &'a TakeableBytes,
    error: PhantomData<E>,
}

impl<'de, E: serde::de::Error> Deserializer<'de> for AttachedBytes<'de, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_string(encode_base64(self.bytes.borrow().as_deref().unwrap_or_default()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, E> {
        if name == BASE64 {
            visitor.visit_byte_buf(self.bytes.take().unwrap_or_default())
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
