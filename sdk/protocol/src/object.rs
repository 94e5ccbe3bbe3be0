//! A JSON object that a frame carries: the `data` of a reply or of a `service_response`, or the `params` of a service request. One of
//! its base64 strings may be outside of the JSON, as bytes, so that a large value need not become base64 and back.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attachment::{ATTACH_FROM_BYTES, Attachment};
use crate::json::without_place;
use crate::json_writer;
use crate::object_reader::WithAttached;
use crate::quick_json::QuickReader;
use crate::{Framing, InvalidJson, RawFrame, read_json};

#[cfg(test)]
mod tests;

/// A JSON object that a frame carries. One of its values may be bytes outside of the JSON text. In [`Framing::Length`], 64 bytes or
/// more are sent as an attachment; otherwise they are sent as base64, as the object's first value.
///
/// An object is passed on as text, without being parsed. [`read`](Self::read) parses it; [`to_json`](Self::to_json) returns the
/// JSON with the bytes in it as base64. Two objects are equal if their texts, keys and bytes outside are, so `{}` and `{ }` differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The JSON text of an object. Begins with `{`.
    json: Cow<'a, str>,
    /// `None` if all values are in `json`.
    outside: Option<Outside<'a>>,
}

/// The value that is outside of the JSON, and its key, which the JSON should not have: see [`Object::attach`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outside<'a> {
    key: Cow<'a, str>,
    bytes: Cow<'a, [u8]>,
}

impl Outside<'_> {
    /// Whether the bytes are sent as an attachment in this framing.
    fn is_attached(&self, framing: Framing) -> bool {
        framing == Framing::Length && self.bytes.len() >= ATTACH_FROM_BYTES
    }
}

impl<'a> Object<'a> {
    /// The object `{}`.
    #[must_use]
    pub const fn empty() -> Self {
        Self { json: Cow::Borrowed("{}"), outside: None }
    }

    /// The object as which `value` serializes: a struct, a map, or `json!({ … })`. All of it is in the JSON: only
    /// [`attach`](Self::attach) puts bytes outside.
    ///
    /// ```
    /// let object = ixt_protocol::Object::serialize(&serde_json::json!({ "revision": 7 }))?;
    /// assert_eq!(object.json(), r#"{"revision":7}"#);
    /// assert!(ixt_protocol::Object::serialize(&[1, 2]).is_err(), "a list is not an object");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `value` can't be serialized as JSON, or becomes something else than an object.
    pub fn serialize(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(value)?;
        if !json.starts_with('{') {
            return Err(serde::ser::Error::custom("expected what serializes as a JSON object"));
        }
        Ok(Self::trusted(json))
    }

    /// The object in this JSON text, which is checked as a whole. Spaces around it are left out, the rest of the text stays as it
    /// is. How deeply it is nested is not checked, but a receiver can't read a frame of more than 128 levels.
    ///
    /// ```
    /// use ixt_protocol::Object;
    ///
    /// assert_eq!(Object::parse(r#"{ "a": 1 }"#)?.json(), r#"{ "a": 1 }"#);
    /// assert_eq!(Object::parse("[1]").unwrap_err().to_string(), "expected an object");
    /// # Ok::<(), ixt_protocol::InvalidJson>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not an object.
    pub fn parse(json: &'a str) -> Result<Self, InvalidJson> {
        let value: &RawValue = read_json(json.as_bytes())?;
        if value.get().starts_with('{') {
            Ok(Self::trusted(value.get()))
        } else {
            Err(InvalidJson::at("", "expected an object"))
        }
    }

    /// The object in this JSON text, which must be one, and begin with `{`. It is not checked.
    pub(crate) fn trusted(json: impl Into<Cow<'a, str>>) -> Self {
        Self { json: json.into(), outside: None }
    }

    /// The same object with `bytes` as the value of `key`, outside of the JSON, of any size. Bytes that were outside before are
    /// dropped. The key may be any text, also one with dots.
    ///
    /// The JSON must not have this key. If it does, the object has the key twice: a reader may refuse it, or take either value.
    #[must_use]
    pub fn attach(self, key: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { outside: Some(Outside { key: key.into(), bytes: bytes.into() }), ..self }
    }

    /// Makes it from `json`, the value of the frame's field `parent`, and from the frame's attachment. Each is `None` if the frame
    /// does not have it. With an attachment alone, the rest of the object is empty.
    ///
    /// # Errors
    ///
    /// If the frame has neither, or if the attachment stands for a value outside of `parent`. Whether `json` has the key of the
    /// attachment too is not checked.
    pub(crate) fn from_field(
        json: Option<&'a RawValue>,
        parent: &str,
        attachment: Option<Attachment<'a>>,
    ) -> Result<Self, InvalidJson> {
        match (json, attachment) {
            (None, None) => Err(InvalidJson::missing(parent)),
            (Some(json), None) => Ok(Self::trusted(json.get())),
            (json, Some(attachment)) => {
                let (key, bytes) = attachment.within(parent)?;
                Ok(Self::trusted(json.map_or("{}", RawValue::get)).attach(key, bytes))
            }
        }
    }

    /// Does the same as [`from_field`](Self::from_field) for the quick reader, which has read the frame up to the end of the field
    /// `parent`. `None` if it gives up; the frame is then unchanged.
    pub(crate) fn read_quickly(
        json: &'a str,
        parent: &str,
        reader: &mut QuickReader<'a>,
        frame: &mut RawFrame<'a>,
    ) -> Option<Self> {
        let path = if reader.skip(br#","attachment":""#) { Some(reader.text()?) } else { None };
        reader.literal(b"}")?;
        reader.end()?;
        if !json.starts_with('{') {
            return None;
        }
        match (path, &mut frame.attachment) {
            (None, None) => Some(Self::trusted(json)),
            (Some(path), attachment) => {
                let key = path.strip_prefix(parent)?.strip_prefix('.')?;
                let bytes = attachment.take()?;
                Some(Self::trusted(json).attach(key, bytes))
            }
            (None, Some(_)) => None,
        }
    }

    /// The bytes outside of the JSON, if they are the value of `key`. `None` if none are outside, or under another key; the value
    /// may then be base64 in the JSON.
    #[must_use]
    pub fn attached(&self, key: &str) -> Option<&[u8]> {
        self.outside.as_ref().filter(|outside| outside.key == key).map(|outside| &*outside.bytes)
    }

    /// Removes the bytes outside of the JSON from the object and returns them. `None`, and the object stays as it is, if they are not
    /// the value of `key`. Copies them only if they are borrowed.
    pub fn detach(&mut self, key: &str) -> Option<Vec<u8>> {
        let outside = self.outside.take_if(|outside| outside.key == key)?;
        Some(outside.bytes.into_owned())
    }

    /// The JSON text, without the bytes outside of it and their key.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON text of the whole object. Bytes outside of it are put in as base64, as its first value. Copies only if there are
    /// any.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "text and base64 are UTF-8")]
    pub fn to_json(&self) -> Cow<'_, str> {
        if self.outside.is_none() {
            return Cow::Borrowed(&self.json);
        }
        let mut json = Vec::new();
        self.append_whole(&mut json);
        Cow::Owned(String::from_utf8(json).expect("it is made of text, and of base64"))
    }

    /// The same as [`to_json`](Self::to_json). Copies nothing if the text is owned and no bytes are outside of it.
    #[must_use]
    pub fn into_json(self) -> String {
        if self.outside.is_some() { self.to_json().into_owned() } else { self.json.into_owned() }
    }

    /// The bytes that are sent as the frame's attachment in this framing. `None` if they are sent as base64, because the framing is
    /// [`Framing::Line`] or they are fewer than 64, or if nothing is outside of the JSON. Copies the bytes only if they are
    /// borrowed.
    #[must_use]
    pub fn into_attachment(self, framing: Framing) -> Option<Vec<u8>> {
        let outside = self.outside.filter(|outside| outside.is_attached(framing))?;
        Some(outside.bytes.into_owned())
    }

    /// The size in bytes of the JSON text and of the bytes outside of it, together, without their key. On the wire, bytes that are
    /// sent as base64 take a third more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len() + self.outside.as_ref().map_or(0, |outside| outside.bytes.len())
    }

    /// Appends the JSON text of the whole object.
    fn append_whole(&self, output: &mut Vec<u8>) {
        let Some(Outside { key, bytes }) = &self.outside else { return output.extend_from_slice(self.json.as_bytes()) };
        // Behind the opening brace: the rest of the object stays as it is.
        let rest = self.json.get(1..).unwrap_or("}").trim_start();
        output.reserve(self.json.len() + key.len() + bytes.len() / 3 * 4 + 16);
        output.push(b'{');
        json_writer::text(key, output);
        output.push(b':');
        json_writer::base64(bytes, output);
        output.extend_from_slice(if rest.starts_with('}') { b"" } else { b"," });
        output.extend_from_slice(rest.as_bytes());
    }

    /// The key and the bytes that are sent as the frame's attachment in this framing. `None` as in
    /// [`into_attachment`](Self::into_attachment).
    pub(crate) fn attachment(&self, framing: Framing) -> Option<(&str, &[u8])> {
        let Outside { key, bytes } = self.outside.as_ref().filter(|outside| outside.is_attached(framing))?;
        Some((key, bytes))
    }

    /// Reads the whole object as `T`. If the field of `T` with the key of the bytes outside of the JSON is read by
    /// [`deserialize_base64`](crate::deserialize_base64), it gets them without base64 in between, and without a copy if they are
    /// owned. A field that is read in another way gets base64 text.
    ///
    /// # Errors
    ///
    /// If the object is not of this type, or has the key of the bytes twice and `T` refuses that. The error has the path of the
    /// mistake, unless only `T` as a whole is wrong.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, InvalidJson> {
        let Self { json, outside: Some(Outside { key, bytes }) } = self else { return read_json(self.json.as_bytes()) };
        let bytes = RefCell::new(Some(bytes.into_owned()));
        let error = match T::deserialize(WithAttached { json: &json, key: &key, bytes: &bytes }) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // The whole JSON is read once more: for types that read only from text, and for the path of the mistake. If `T` has
        // taken the bytes they are gone, and empty ones stand for them: then a value is not to be trusted, and an error at their
        // key is not the right one.
        let (bytes, taken) = bytes.into_inner().map_or_else(|| (Vec::new(), true), |bytes| (bytes, false));
        let whole = Object { json, outside: Some(Outside { key, bytes: bytes.into() }) };
        let path = match read_json(whole.to_json().as_bytes()) {
            read if !taken => return read,
            Err(invalid) if whole.attached(&invalid.path).is_none() => return Err(invalid),
            Err(of_the_bytes) => of_the_bytes.path,
            Ok(_) => String::new(),
        };
        Err(InvalidJson { path, message: without_place(&error) })
    }

    /// Reads the JSON as `T`, which may borrow from it. `T` does not get the bytes outside of the JSON, so their field must be
    /// optional in `T`: use [`attached`](Self::attached) for them. A field of the type `&str` can't be read if its text has
    /// escapes; a `Cow` can.
    ///
    /// # Errors
    ///
    /// If the JSON is not of this type. The error has the path of the mistake.
    pub fn read_borrowed<'b, T: Deserialize<'b>>(&'b self) -> Result<T, InvalidJson> {
        // The text is UTF-8, so that this need not be checked again.
        serde_json::from_str(&self.json).or_else(|_| read_json(self.json.as_bytes()))
    }

    /// Appends the object as the value of the field `field`, with the comma before it. If bytes are to be sent as the frame's
    /// attachment, leaves them out and returns their path, such as `data.result`.
    pub(crate) fn write(&self, field: &str, framing: Framing, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
        json_writer::key(field, output);
        match self.attachment(framing) {
            None => {
                self.append_whole(output);
                None
            }
            Some((key, _)) => {
                output.extend_from_slice(self.json.as_bytes());
                Some(Cow::Owned(format!("{field}.{key}")))
            }
        }
    }

    /// The same object without borrows. Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> Object<'static> {
        let outside = self.outside.map(|Outside { key, bytes }| Outside {
            key: Cow::Owned(key.into_owned()),
            bytes: Cow::Owned(bytes.into_owned()),
        });
        Object { json: Cow::Owned(self.json.into_owned()), outside }
    }
}

/// The JSON text of the whole object, as [`Object::to_json`] returns it.
impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}
