//! A JSON object that a frame carries: the `data` of a reply, or the `params` of a service request. One of its base64 strings
//! may be outside of the JSON, as bytes, so that a large value need not become base64 and back.

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

/// A JSON object that a frame carries. One of its values may be bytes outside of the JSON text: where the framing allows it and
/// they are 256 bytes or more, they are sent as an attachment, otherwise as base64.
///
/// An object is passed on as it is, without being parsed. [`read`](Self::read) parses it; [`to_json`](Self::to_json) gives the
/// JSON with the bytes in it as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The JSON text of an object.
    json: Cow<'a, str>,
    outside: Option<Outside<'a>>,
}

/// The value that is outside of the JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outside<'a> {
    key: Cow<'a, str>,
    bytes: Cow<'a, [u8]>,
}

impl Outside<'_> {
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

    /// The object as which `value` serializes: a struct, a map, or `json!({ … })`.
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
    /// If `value` does not serialize, or as something else than an object.
    pub fn serialize(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(value)?;
        if !json.starts_with('{') {
            return Err(serde::ser::Error::custom("expected what serializes as a JSON object"));
        }
        Ok(Self::trusted(json))
    }

    /// The object that is this JSON text.
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

    /// The object that is this JSON text, which is not checked.
    pub(crate) fn trusted(json: impl Into<Cow<'a, str>>) -> Self {
        Self { json: json.into(), outside: None }
    }

    /// The same object with `bytes` as the value of `key`, outside of the JSON. Bytes that were outside before are dropped.
    ///
    /// The JSON must not have this key. If it has, the object has the key twice, and readers refuse it or take either value.
    #[must_use]
    pub fn attach(self, key: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { outside: Some(Outside { key: key.into(), bytes: bytes.into() }), ..self }
    }

    /// From the object in the field `parent` of a frame, and the frame's attachment. `None` if the frame has neither.
    ///
    /// # Errors
    ///
    /// If the attachment stands for something outside of `parent`.
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

    /// The same as [`from_field`](Self::from_field) for the quick reader, which has read all of the frame but its end. `None`
    /// if it gives up; the frame is then as it was.
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

    /// The bytes outside of the JSON, if they are the value of `key`.
    #[must_use]
    pub fn attached(&self, key: &str) -> Option<&[u8]> {
        self.outside.as_ref().filter(|outside| outside.key == key).map(|outside| &*outside.bytes)
    }

    /// Takes the bytes outside of the JSON out of the object, if they are the value of `key`. Copies them only if they are
    /// borrowed.
    pub fn detach(&mut self, key: &str) -> Option<Vec<u8>> {
        let outside = self.outside.take_if(|outside| outside.key == key)?;
        Some(outside.bytes.into_owned())
    }

    /// The JSON text, without the bytes outside of it.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON text of the whole object. Bytes outside of it are put in as base64, as its first value.
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

    /// The JSON text of the whole object, as [`to_json`](Self::to_json) gives it. Copies nothing if it is owned and nothing is
    /// outside of it.
    #[must_use]
    pub fn into_json(self) -> String {
        if self.outside.is_some() { self.to_json().into_owned() } else { self.json.into_owned() }
    }

    /// The bytes that are sent as the frame's attachment in this framing. `None` if they are sent as base64, because the framing is
    /// [`Framing::Line`] or they are fewer than 256, or if nothing is outside of the JSON.
    #[must_use]
    pub fn into_attachment(self, framing: Framing) -> Option<Vec<u8>> {
        let outside = self.outside.filter(|outside| outside.is_attached(framing))?;
        Some(outside.bytes.into_owned())
    }

    /// The size of the JSON text and of the bytes outside of it: about what the object takes on the wire as an attachment. As
    /// base64, the bytes take a third more.
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

    /// The key and the bytes that are sent as the frame's attachment in this framing.
    pub(crate) fn attachment(&self, framing: Framing) -> Option<(&str, &[u8])> {
        let Outside { key, bytes } = self.outside.as_ref().filter(|outside| outside.is_attached(framing))?;
        Some((key, bytes))
    }

    /// Reads the object as `T`. A field of `T` that is read by [`deserialize_base64`](crate::deserialize_base64) gets the bytes
    /// outside of the JSON without base64 in between, and without a copy if they are owned. Any other type gets base64 text.
    ///
    /// # Errors
    ///
    /// If the object is not of this type. The error has the path of the mistake, unless only `T` as a whole is wrong.
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

    /// Reads the JSON as `T`, which may borrow from it. The bytes outside of the JSON are not part of it: they are
    /// [`attached`](Self::attached).
    ///
    /// # Errors
    ///
    /// If the JSON is not of this type. The error has the path of the mistake.
    pub fn read_borrowed<'b, T: Deserialize<'b>>(&'b self) -> Result<T, InvalidJson> {
        // The text is UTF-8, so that this need not be checked again.
        serde_json::from_str(&self.json).or_else(|_| read_json(self.json.as_bytes()))
    }

    /// Appends the object as the value of the field `field`. Returns the path of what is to be attached, if something is.
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

/// The JSON text of the whole object.
impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}
