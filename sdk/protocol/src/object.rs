//! Bytes that stand outside of a frame's JSON, in place of one of its base64 texts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::value::RawValue;

use crate::base64_text::{BASE64, encode_base64};
use crate::frame::object;
use crate::json::without_place;
use crate::json_writer as write;
use crate::quick_json::Scan;
use crate::{Framing, InvalidJson, RawFrame, read_json};

/// An attachment, and which field it stands for.
pub(crate) struct Attachment<'a> {
    path: Cow<'a, str>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Attachment<'a> {
    /// `path` is what the frame's `attachment` says.
    pub(crate) fn new(path: Option<Cow<'a, str>>, bytes: Option<Cow<'a, [u8]>>) -> Result<Option<Self>, InvalidJson> {
        let error = |message: &str| Err(InvalidJson { path: "attachment".to_owned(), message: message.to_owned() });
        match (path, bytes) {
            (None, None) => Ok(None),
            (Some(path), Some(bytes)) => Ok(Some(Self { path, bytes })),
            (Some(_), None) => error("the frame has none"),
            (None, Some(_)) => error("missing, though the frame has one"),
        }
    }

    /// The bytes, if they stand for the field at this path.
    pub(crate) fn at(self, path: &str) -> Result<Cow<'a, [u8]>, InvalidJson> {
        if self.path == path { Ok(self.bytes) } else { Err(self.misplaced()) }
    }

    /// The object at `parent`, with the bytes outside of it.
    fn object(self, json: Option<&'a str>, parent: &str) -> Result<Object<'a>, InvalidJson> {
        let key = self.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'));
        let key = Cow::Owned(key.ok_or_else(|| self.misplaced())?.to_owned());
        Ok(Object { json: Cow::Borrowed(json.unwrap_or("{}")), outside: Some(Outside { key, bytes: self.bytes }) })
    }

    fn misplaced(&self) -> InvalidJson {
        InvalidJson {
            path: "attachment".to_owned(),
            message: format!("`{}` is nothing that an attachment can stand for here", self.path),
        }
    }
}

/// Bytes from this size on are attached, where the framing can do that: it costs less than base64.
pub const ATTACH_FROM_BYTES: usize = 256;

/// A JSON object as it is on the wire, where one of its base64 texts may stand outside of it. Whoever passes it on need not
/// look into it; whoever wants the JSON, whole, asks for [`Object::to_json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    json: Cow<'a, str>,
    outside: Option<Outside<'a>>,
}

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
    /// An object from JSON that is one, which is not looked at.
    pub fn trusted(json: impl Into<Cow<'a, str>>) -> Self {
        Self { json: json.into(), outside: None }
    }

    /// The same with bytes under a key that it has not: as an attachment where the framing can do that, otherwise as base64.
    #[must_use]
    pub fn attach(self, key: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { outside: Some(Outside { key: key.into(), bytes: bytes.into() }), ..self }
    }

    /// The object in this field of a frame, of which only the end is still to be scanned. `None` says nothing: then the frame is
    /// as it was.
    pub(crate) fn scan(json: &'a str, field: &str, scan: &mut Scan<'a>, frame: &mut RawFrame<'a>) -> Option<Self> {
        let path = if scan.skip(br#","attachment":""#) { Some(scan.text()?) } else { None };
        scan.literal(b"}")?;
        scan.end()?;
        if !json.starts_with('{') {
            return None;
        }
        match (path, &mut frame.attachment) {
            (None, None) => Some(Self::trusted(json)),
            (Some(path), attachment) => {
                let key = path.strip_prefix(field)?.strip_prefix('.')?;
                let bytes = attachment.take()?;
                Some(Self::trusted(json).attach(key, bytes))
            }
            (None, Some(_)) => None,
        }
    }

    pub(crate) fn of(
        json: Option<&'a RawValue>,
        parent: &str,
        attachment: Option<Attachment<'a>>,
    ) -> Result<Option<Self>, InvalidJson> {
        let json = object(json, parent)?.map(RawValue::get);
        match attachment {
            None => Ok(json.map(Self::trusted)),
            Some(attachment) => attachment.object(json, parent).map(Some),
        }
    }

    /// The bytes of the text that stands outside, under this key.
    #[must_use]
    pub fn attached(&self, key: &str) -> Option<&[u8]> {
        self.outside.as_ref().filter(|outside| outside.key == key).map(|outside| &*outside.bytes)
    }

    /// Takes the bytes out of it that stand outside, under this key: without a copy, if they are so many that they were read
    /// apart.
    pub fn detach(&mut self, key: &str) -> Option<Vec<u8>> {
        let outside = self.outside.take_if(|outside| outside.key == key)?;
        Some(outside.bytes.into_owned())
    }

    /// The JSON, without what stands outside of it.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The whole object as JSON.
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

    /// The whole object as JSON.
    #[must_use]
    pub fn into_json(self) -> String {
        if self.outside.is_some() { self.to_json().into_owned() } else { self.json.into_owned() }
    }

    /// The whole object, as it is read.
    ///
    /// # Panics
    ///
    /// If the text that was [trusted](Object::trusted) is not JSON.
    #[must_use]
    pub fn into_raw(self) -> Box<RawValue> {
        RawValue::from_string(self.into_json()).expect("an object is JSON")
    }

    /// The bytes that are to be attached, where the framing can do that.
    #[must_use]
    pub fn into_attachment(self, framing: Framing) -> Option<Vec<u8>> {
        let outside = self.outside.filter(|outside| outside.is_attached(framing))?;
        Some(outside.bytes.into_owned())
    }

    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len() + self.outside.as_ref().map_or(0, |outside| outside.bytes.len())
    }

    /// Appends the whole object as JSON.
    fn append_whole(&self, output: &mut Vec<u8>) {
        let Some(Outside { key, bytes }) = &self.outside else { return output.extend_from_slice(self.json.as_bytes()) };
        // Only the text is put in; what else is in the object is nobody's business here.
        let rest = self.json.get(1..).unwrap_or("}").trim_start();
        output.reserve(self.json.len() + key.len() + bytes.len() / 3 * 4 + 16);
        output.push(b'{');
        write::text(key, output);
        output.push(b':');
        write::base64(bytes, output);
        output.extend_from_slice(if rest.starts_with('}') { b"" } else { b"," });
        output.extend_from_slice(rest.as_bytes());
    }

    /// What is to be attached under which key, where the framing can do that.
    pub(crate) fn outside(&self, framing: Framing) -> Option<(&str, &[u8])> {
        let Outside { key, bytes } = self.outside.as_ref().filter(|outside| outside.is_attached(framing))?;
        Some((key, bytes))
    }

    /// Reads the object as `T`, in which the bytes outside need not be base64 first, and are not copied.
    ///
    /// # Errors
    ///
    /// If it is not of this type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, InvalidJson> {
        let Self { json, outside: Some(Outside { key, bytes }) } = self else { return read_json(self.json.as_bytes()) };
        let bytes = RefCell::new(Some(bytes.into_owned()));
        let error = match T::deserialize(WithBytes { json: &json, key: &key, bytes: &bytes }) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Read once more for types that take text alone, and for where in it the mistake is. That may be behind the bytes,
        // which are gone then; what is read without them is not the object.
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

    /// Appends the object as the value of a field. Gives the path of what is to be attached.
    pub(crate) fn write(&self, field: &str, framing: Framing, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
        write::key(field, output);
        match self.outside(framing) {
            None => self.append_whole(output),
            Some(_) => output.extend_from_slice(self.json.as_bytes()),
        }
        self.outside(framing).map(|(key, _)| Cow::Owned(format!("{field}.{key}")))
    }

    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Object<'static> {
        let outside = self.outside.map(|Outside { key, bytes }| Outside {
            key: Cow::Owned(key.into_owned()),
            bytes: Cow::Owned(bytes.into_owned()),
        });
        Object { json: Cow::Owned(self.json.into_owned()), outside }
    }
}

/// An object, in which one value is bytes, for serde.
struct WithBytes<'a> {
    json: &'a str,
    key: &'a str,
    bytes: &'a Bytes,
}

/// Taken by whoever asks for them.
type Bytes = RefCell<Option<Vec<u8>>>;

impl<'de> Deserializer<'de> for WithBytes<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.json);
        json.deserialize_map(FirstBytes { visitor, key: self.key, bytes: self.bytes })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Visits the bytes, and then what is in the JSON.
struct FirstBytes<'a, V> {
    visitor: V,
    key: &'a str,
    bytes: &'a Bytes,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for FirstBytes<'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, rest: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Entries { first: Some((self.key, self.bytes)), value: None, rest })
    }
}

struct Entries<'a, A> {
    first: Option<(&'a str, &'a Bytes)>,
    value: Option<&'a Bytes>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
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

/// The whole object as JSON.
impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// Bytes for those who ask for them by [`BASE64`], and base64 for all others, as if they stood in the JSON.
struct AttachedBytes<'a, E> {
    bytes: &'a Bytes,
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

impl<'a> From<&'a RawValue> for Object<'a> {
    fn from(json: &'a RawValue) -> Self {
        Self::trusted(json.get())
    }
}

impl From<Box<RawValue>> for Object<'_> {
    fn from(json: Box<RawValue>) -> Self {
        Self::trusted(String::from(Box::<str>::from(json)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::deserialize_base64;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Image {
        name: String,
        #[serde(deserialize_with = "deserialize_base64")]
        pixels: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Image")]
    struct Empty;

    impl TryFrom<Image> for Empty {
        type Error = String;

        fn try_from(image: Image) -> Result<Self, String> {
            if image.pixels.is_empty() { Ok(Self) } else { Err("there are pixels".to_owned()) }
        }
    }

    #[derive(Debug, Deserialize)]
    struct Short {
        #[serde(deserialize_with = "short")]
        #[expect(dead_code, reason = "it is too long")]
        short: Vec<u8>,
    }

    fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let bytes: Vec<u8> = deserialize_base64(deserializer)?;
        match bytes.len() {
            0 => Err(serde::de::Error::custom("empty")),
            1..=10 => Ok(bytes),
            _ => Err(serde::de::Error::custom("longer than 10 bytes")),
        }
    }

    #[test]
    fn bytes_outside_are_read_as_base64_is() {
        let image = || Image { name: "n".to_owned(), pixels: b"\xFF\0".to_vec() };
        let json = r#"{"name":"n"}"#;
        for object in
            [Object::trusted(json).attach("pixels", &b"\xFF\0"[..]), Object::trusted(r#"{"name":"n","pixels":"/wA="}"#)]
        {
            assert_eq!(object.clone().read::<Image>(), Ok(image()));
            let value: serde_json::Value = object.clone().read().unwrap();
            assert_eq!(value["pixels"], "/wA=");
            assert_eq!(object.into_raw().get().len(), r#"{"name":"n","pixels":"/wA="}"#.len());
        }
        // For whoever takes text it is base64, whatever is in it.
        let text: BTreeMap<String, String> = Object::trusted(json).attach("text", &b"hello"[..]).read().unwrap();
        assert_eq!(text["text"], "aGVsbG8=");
        // Also for whoever takes the whole object as text.
        let whole: Box<RawValue> = Object::trusted(json).attach("pixels", &b"\xFF\0"[..]).read().unwrap();
        assert_eq!(whole.get(), r#"{"pixels":"/wA=","name":"n"}"#);
        let other = Object::trusted(json).attach("other", &b"x"[..]);
        assert_eq!(other.read::<Image>().unwrap_err().to_string(), "`pixels`: missing");
        let twice = Object::trusted(json).attach("name", &b"x"[..]);
        assert_eq!(twice.read::<Image>().unwrap_err().to_string(), "duplicate field `name`");
    }

    #[test]
    fn bytes_outside_are_not_copied_and_what_is_wrong_behind_them_is_told() {
        let pixels = vec![7; 1000];
        let place = pixels.as_ptr();
        let image: Image = Object::trusted(r#"{"name":"n"}"#).attach("pixels", pixels).read().unwrap();
        assert_eq!((image.pixels.as_ptr(), image.pixels.len()), (place, 1000));

        let large = Object::trusted("{}").attach("short", vec![7; 1000]);
        assert_eq!(large.read::<Short>().unwrap_err().to_string(), "`short`: longer than 10 bytes");
        let nameless = Object::trusted("{}").attach("pixels", vec![7; 1000]);
        assert_eq!(nameless.read::<Image>().unwrap_err().to_string(), "`name`: missing");
        // Even if nothing is wrong without them.
        let image = Object::trusted(r#"{"name":"n"}"#).attach("pixels", vec![7; 1000]);
        assert_eq!(image.read::<Empty>().unwrap_err().to_string(), "there are pixels");
    }

    #[test]
    fn the_rest_of_an_object_is_as_it_was() {
        for (json, whole) in
            [("{}", r#"{"a\"":"aGk="}"#), ("{ }", r#"{"a\"":"aGk="}"#), (r#"{ "b": 1 }"#, r#"{"a\"":"aGk=","b": 1 }"#)]
        {
            assert_eq!(Object::trusted(json).attach("a\"", &b"hi"[..]).to_json(), whole);
        }
    }

    #[test]
    fn bytes_are_attached_from_256_on_where_the_framing_can_do_that() {
        for (bytes, framing, attached) in
            [(255, Framing::Length, false), (256, Framing::Length, true), (256, Framing::Line, false)]
        {
            let object = Object::trusted(r#"{"n":1}"#).attach("b", vec![7; bytes]);
            let mut output = Vec::new();
            let place = object.write("data", framing, &mut output);
            assert_eq!(place.as_deref(), attached.then_some("data.b"));
            let text = String::from_utf8(output).unwrap();
            assert_eq!(text.ends_with(r#""data":{"n":1}"#), attached, "{text}");
            assert_eq!(text.contains(r#""b":"BwcH"#), !attached, "{text}");
            assert_eq!(object.into_attachment(framing), attached.then(|| vec![7; bytes]));
        }
        assert_eq!(Object::trusted(r#"{"b":""}"#).into_attachment(Framing::Length), None);
    }

    #[test]
    fn bytes_are_taken_out_by_their_key() {
        let mut object = Object::trusted(r#"{"n":1}"#).attach("b", b"hi".to_vec());
        assert_eq!((object.attached("n"), object.attached("b")), (None, Some(&b"hi"[..])));
        assert_eq!(object.bytes(), r#"{"n":1}"#.len() + 2);
        assert_eq!((object.json(), &*object.to_json()), (r#"{"n":1}"#, r#"{"b":"aGk=","n":1}"#));
        assert_eq!(object.to_string(), object.clone().into_json());
        assert_eq!((object.detach("n"), object.detach("b"), object.detach("b")), (None, Some(b"hi".to_vec()), None));
        assert_eq!((object.json(), &*object.to_json(), object.bytes()), (r#"{"n":1}"#, r#"{"n":1}"#, 7));
    }
}
