//! Reads generated records from JSON objects, and writes them. Other than serde's derive, it accepts only an object (not an array of the
//! fields in order), checks the manifest's rules, and needs little code for each record, so that large manifests compile fast.

use std::fmt;
use std::marker::PhantomData;

use ixt_protocol::ATTACH_FROM_BYTES;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serializer};

use super::mistakes::Mistakes;
use super::rules::Rules;
use super::{Apart, Decode, DecodeSeed, Encode, Encoder, Reading};
use crate::suggest::closest;

/// A field of a generated record. The constructors are the kinds of fields: the macro `record!` also uses their names for functions of
/// [`slot`] and [`RecordWriter`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    key: &'static str,
    required: bool,
    rules: Rules,
}

impl Field {
    /// A required field. An object without it, or with `null`, is an error.
    #[must_use]
    pub const fn required(key: &'static str) -> Self {
        Self { key, required: true, rules: &[] }
    }

    /// An optional field: absent and `null` are `None`.
    #[must_use]
    pub const fn optional(key: &'static str) -> Self {
        Self { key, required: false, rules: &[] }
    }

    /// A field with a default, for when it is absent or `null`. The default itself is not here, but an argument of [`slot::or`].
    #[must_use]
    pub const fn or(key: &'static str) -> Self {
        Self::optional(key)
    }

    /// [`required`](Self::required), with its value in a `Box`, since the type is recursive.
    #[must_use]
    pub const fn required_box(key: &'static str) -> Self {
        Self::required(key)
    }

    /// [`optional`](Self::optional), with its value in a `Box`.
    #[must_use]
    pub const fn optional_box(key: &'static str) -> Self {
        Self::optional(key)
    }

    /// [`or`](Self::or), with its value in a `Box`.
    #[must_use]
    pub const fn or_box(key: &'static str) -> Self {
        Self::optional(key)
    }

    /// The same field with these rules for its value, in place of earlier ones. The constructors set none.
    #[must_use]
    pub const fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }
}

/// The reading of a record; generated code implements it.
pub trait DecodeRecord: Sized {
    /// The fields, sorted by key, no key twice: the reader searches them. May be empty.
    const FIELDS: &'static [Field];

    /// Reads all fields of one object. `None` if a required one is wrong or missing; the reader keeps the error. `Some` does not mean that
    /// all is right: the reader may have an error nevertheless.
    fn decode_fields<'de, A: MapAccess<'de>>(reader: &mut RecordReader<'de, '_, A>) -> Option<Self>;
}

/// The writing of a record; generated code implements it.
pub trait EncodeRecord {
    /// Writes the fields, sorted by key. The writer keeps the first error.
    fn encode_fields<S: SerializeMap>(&self, writer: &mut RecordWriter<S>);
}

impl<R: DecodeRecord> Decode for R {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        struct RecordVisitor<'a, R>(Reading<'a>, PhantomData<R>);

        impl<'de, R: DecodeRecord> Visitor<'de> for RecordVisitor<'_, R> {
            type Value = R;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<R, A::Error> {
                let mut reader = RecordReader::new(map, R::FIELDS, self.0);
                let record = R::decode_fields(&mut reader);
                reader.finish(record)
            }
        }

        deserializer.deserialize_map(RecordVisitor(reading, PhantomData))
    }
}

impl<R: EncodeRecord> Encode for R {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut writer = RecordWriter::new(serializer.serialize_map(None)?);
        self.encode_fields(&mut writer);
        writer.finish()
    }

    fn encode_apart<S: Serializer>(&self, serializer: S, apart: &mut Apart) -> Result<S::Ok, S::Error> {
        let mut writer = RecordWriter { leaves_out: true, ..RecordWriter::new(serializer.serialize_map(None)?) };
        self.encode_fields(&mut writer);
        *apart = writer.apart.take();
        writer.finish()
    }
}

/// A slot keeps the value of a field until all fields are read. It is `None` while the field has not come, and if it is `null` or wrong.
///
/// There is a function for each of `Field`'s constructors. It turns the slot into the field's value, or returns `None` if the slot of a
/// required field is empty. A wrong value of another field becomes `None` or the default here; the reader keeps the error.
pub mod slot {
    /// An empty slot. The argument does nothing: generated code repeats this call for each field's index.
    #[must_use]
    pub const fn empty<T>(_field: usize) -> Option<T> {
        None
    }

    /// The value of a required field.
    #[must_use]
    pub fn required<T>(slot: Option<T>) -> Option<T> {
        slot
    }

    /// The value of an optional field.
    #[must_use]
    pub fn optional<T>(slot: Option<T>) -> Option<Option<T>> {
        Some(slot)
    }

    /// The value of a field with a default, which is made only if the slot is empty.
    pub fn or<T>(slot: Option<T>, default: impl FnOnce() -> T) -> Option<T> {
        Some(slot.unwrap_or_else(default))
    }

    /// The value of a required field, in a box.
    #[must_use]
    pub fn required_box<T>(slot: Option<T>) -> Option<Box<T>> {
        slot.map(Box::new)
    }

    /// The value of an optional field, in a box.
    #[must_use]
    pub fn optional_box<T>(slot: Option<T>) -> Option<Option<Box<T>>> {
        Some(slot.map(Box::new))
    }

    /// The value of a field with a default, in a box.
    pub fn or_box<T>(slot: Option<T>, default: impl FnOnce() -> Box<T>) -> Option<Box<T>> {
        Some(slot.map_or_else(default, Box::new))
    }
}

/// Implements the traits for a generated record. The arguments for each field: its index in the order of keys; its name in Rust; its
/// kind, which is the name of one of `Field`'s constructors; its key; its default; its rules. All in one expansion, since rustc is slow
/// at macros within macros. The type parameters have names that no type of a manifest can have: macros don't keep them apart.
///
/// ```text
/// record! {
///     Order,
///     0 count = or("count", 1; &[Rule::Min(1)]),
///     1 id = required("id"),
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    ($type:ident, $($index:tt $field:ident = $kind:ident($key:literal $(, $default:expr)? $(; $rules:expr)?),)*) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::DecodeRecord for $type {
            const FIELDS: &'static [$crate::__private::Field] =
                &[$($crate::__private::Field::$kind($key)$(.rules($rules))?),*];

            fn decode_fields<'de, __A: $crate::__private::serde::de::MapAccess<'de>>(
                reader: &mut $crate::__private::RecordReader<'de, '_, __A>,
            ) -> ::std::option::Option<Self> {
                let mut slots = ($($crate::__private::slot::empty($index),)*);
                while let ::std::option::Option::Some(index) = reader.next() {
                    match index {
                        $($index => reader.value(&mut slots.$index),)*
                        _ => reader.skip(),
                    }
                }
                ::std::option::Option::Some(Self {
                    $($field: $crate::__private::slot::$kind(slots.$index $(, || $default)?)?,)*
                })
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::EncodeRecord for $type {
            fn encode_fields<__S: $crate::__private::serde::ser::SerializeMap>(
                &self,
                writer: &mut $crate::__private::RecordWriter<__S>,
            ) {
                $(writer.$kind($key, &self.$field);)*
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::serde::Serialize for $type {
            fn serialize<__S: $crate::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::std::result::Result<__S::Ok, __S::Error> {
                $crate::__private::Encode::encode(self, serializer)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl<'de> $crate::__private::serde::Deserialize<'de> for $type {
            fn deserialize<__D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::std::result::Result<Self, __D::Error> {
                $crate::__private::Decode::decode(deserializer, $crate::__private::Reading::by(&[]))
            }
        }
    };
}

/// Implements the traits for a generated record that is only read: a table of the configuration. The arguments are those of `record!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __decode_record {
    ($type:ident, $($fields:tt)*) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::DecodeRecord for $type {
            const FIELDS: &'static [$crate::__private::Field] = $crate::__private::fields!(@specs $($fields)*);

            fn decode_fields<'de, __A: $crate::__private::serde::de::MapAccess<'de>>(
                reader: &mut $crate::__private::RecordReader<'de, '_, __A>,
            ) -> ::std::option::Option<Self> {
                $crate::__private::fields!(@read reader (Self) $($fields)*)
            }
        }
    };
}

/// The fields of a record or of a union's case: `@specs` makes the `Field`s, `@read` reads the values.
#[doc(hidden)]
#[macro_export]
macro_rules! __fields {
    (@specs $($index:tt $field:ident = $kind:ident($key:literal $(, $default:expr)? $(; $rules:expr)?),)*) => {
        &[$($crate::__private::Field::$kind($key)$(.rules($rules))?),*]
    };
    (
        @read $reader:ident ($($constructor:tt)*)
        $($index:tt $field:ident = $kind:ident($key:literal $(, $default:expr)? $(; $rules:expr)?),)*
    ) => {{
        let mut slots = ($($crate::__private::slot::empty($index),)*);
        while let ::std::option::Option::Some(index) = $reader.next() {
            match index {
                $($index => $reader.value(&mut slots.$index),)*
                _ => $reader.skip(),
            }
        }
        ::std::option::Option::Some($($constructor)* {
            $($field: $crate::__private::slot::$kind(slots.$index $(, || $default)?)?,)*
        })
    }};
}

/// serde's traits for a generated type, so that authors can use it wherever serde does. The type's own rules are checked when it is read,
/// and the first mistake is the error.
#[doc(hidden)]
#[macro_export]
macro_rules! __serde {
    ($type:ty) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::serde::Serialize for $type {
            fn serialize<__S: $crate::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::std::result::Result<__S::Ok, __S::Error> {
                $crate::__private::Encode::encode(self, serializer)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl<'de> $crate::__private::serde::Deserialize<'de> for $type {
            fn deserialize<__D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::std::result::Result<Self, __D::Error> {
                $crate::__private::Decode::decode(deserializer, $crate::__private::Reading::by(&[]))
            }
        }
    };
}

/// Reads the fields of one JSON object: calls of `next`, each followed by `value` or `skip`, until `next` returns `None`. A key that the
/// record doesn't have is skipped, except in the configuration, where it is a mistake.
pub struct RecordReader<'de, 'm, A: MapAccess<'de>> {
    map: A,
    fields: &'static [Field],
    seen: Seen,
    /// The index of the field whose value comes next.
    current: usize,
    /// Why the object can't be read: one of its mistakes. `None` before the first.
    error: Option<A::Error>,
    /// Collects all mistakes. `None`: the first mistake ends the reading.
    mistakes: Option<&'m Mistakes>,
    input: PhantomData<&'de ()>,
}

impl<'de, 'm, A: MapAccess<'de>> RecordReader<'de, 'm, A> {
    /// Reads the object `map`. `fields` must be sorted by key. The rules of `reading` are not used: each field has its rules in `fields`.
    pub(crate) fn new(map: A, fields: &'static [Field], reading: Reading<'m>) -> Self {
        let mistakes = reading.mistakes;
        Self { map, fields, seen: Seen::default(), current: 0, error: None, mistakes, input: PhantomData }
    }

    /// The index in `FIELDS` of the next key, or the number of fields if the key is unknown. `None` at the end of the object, at the key of
    /// a field that has come already (not as `null`), at what is not JSON, and after any mistake unless mistakes are collected. After each
    /// index, the caller has to call `value` for a field, or `skip`. After `None` it must not be called again.
    #[expect(clippy::should_implement_trait, reason = "it does not iterate: the value has to be read in between")]
    pub fn next(&mut self) -> Option<usize> {
        if self.error.is_some() && self.mistakes.is_none() {
            return None;
        }
        match self.map.next_key_seed(Key { fields: self.fields, mistakes: self.mistakes }) {
            Ok(Some(index)) => {
                self.current = index;
                if index == self.fields.len() {
                    if self.mistakes.is_some() {
                        // `Key` has noted it.
                        self.error.get_or_insert_with(|| A::Error::custom("unknown key"));
                    }
                } else if self.seen.contains(index) {
                    self.error = Some(A::Error::duplicate_field(self.fields[index].key));
                    return None;
                }
                Some(index)
            }
            Ok(None) => {
                self.check_complete();
                None
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// To be called at the end of the object: notes the required fields that have not come.
    fn check_complete(&mut self) {
        for (index, field) in self.fields.iter().enumerate() {
            if field.required && !self.seen.contains(index) {
                if let Some(mistakes) = self.mistakes {
                    mistakes.note(field.key, "required, but not given".to_owned());
                }
                self.error.get_or_insert_with(|| A::Error::missing_field(field.key));
            }
        }
    }

    /// Skips the value of an unknown key. An error, if it is not JSON, is kept.
    pub fn skip(&mut self) {
        if let Err(error) = self.map.next_value::<IgnoredAny>() {
            self.error = Some(error);
        }
    }

    /// Reads the value of the field whose index `next` has returned into its slot, and checks its rules. The slot stays `None` if the value
    /// is `null` or wrong. The error of a wrong value is kept.
    pub fn value<T: Decode>(&mut self, slot: &mut Option<T>) {
        let Field { key, rules, .. } = self.fields[self.current];
        let seed = DecodeSeed::<Option<T>>::new(Reading { rules, mistakes: self.mistakes });
        let map = &mut self.map;
        let value = match self.mistakes {
            None => map.next_value_seed(seed),
            Some(mistakes) => {
                mistakes.at(key, || map.next_value_seed(seed)).ok_or_else(|| A::Error::custom("a field is wrong"))
            }
        };
        match value {
            // PROTOCOL.md: `null` is the same as absent.
            Ok(None) => {}
            Ok(value) => {
                *slot = value;
                self.seen.insert(self.current);
            }
            Err(error) => {
                // So that the field does not count as missing too.
                self.seen.insert(self.current);
                self.error = Some(error);
            }
        }
    }

    /// The result of the reading: an error if there was any mistake, even if `record` is `Some`. If mistakes are collected, it may say no
    /// more than that there are some.
    pub(crate) fn finish<R>(self, record: Option<R>) -> Result<R, A::Error> {
        match (self.error, record) {
            (Some(error), _) => Err(error),
            (None, Some(record)) => Ok(record),
            (None, None) => Err(A::Error::custom("incomplete")),
        }
    }
}

/// The indices of the fields that have come, except as `null`.
#[derive(Debug, Default)]
struct Seen {
    /// A bit for each of the first 128 fields. Almost no record has more.
    first: u128,
    /// The indices from 128 on.
    others: Vec<usize>,
}

impl Seen {
    fn contains(&self, index: usize) -> bool {
        if index < 128 { self.first & (1 << index) != 0 } else { self.others.contains(&index) }
    }

    fn insert(&mut self, index: usize) {
        if index < 128 {
            self.first |= 1 << index;
        } else {
            self.others.push(index);
        }
    }
}

/// With up to this many fields, a key is compared with each of them. With more, binary search is faster.
const FEW_FIELDS: usize = 16;

/// Reads a key as the index of its field, or as the number of fields if it is unknown. Notes an unknown key if mistakes are collected.
struct Key<'m> {
    fields: &'static [Field],
    mistakes: Option<&'m Mistakes>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        // Comparing with a few keys is fast: most differ in length.
        let found = if self.fields.len() <= FEW_FIELDS {
            self.fields.iter().position(|field| field.key == key)
        } else {
            self.fields.binary_search_by(|field| field.key.cmp(key)).ok()
        };
        if found.is_none()
            && let Some(mistakes) = self.mistakes
        {
            mistakes.note(key, unknown_key(key, self.fields.iter().map(|field| field.key)));
        }
        Ok(found.unwrap_or(self.fields.len()))
    }
}

/// The message for a key that the manifest doesn't declare, with a similar one of `known` if there is one. Does not quote the key.
pub(crate) fn unknown_key(key: &str, known: impl Iterator<Item = &'static str>) -> String {
    match closest(key, known) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => "unknown key: the manifest declares none of this name".to_owned(),
    }
}

/// Writes the fields of one JSON object, in the order of the calls. Checks no rules. After the first error it writes nothing more; `finish`
/// returns that error.
pub struct RecordWriter<S: SerializeMap> {
    map: S,
    error: Option<S::Error>,
    /// Whether the first `bytes` field of 64 bytes or more is left out.
    leaves_out: bool,
    /// The field that was left out; `None` if none was.
    apart: Apart,
}

impl<S: SerializeMap> RecordWriter<S> {
    /// A writer that leaves out nothing.
    pub(crate) fn new(map: S) -> Self {
        Self { map, error: None, leaves_out: false, apart: None }
    }

    /// Writes a required field, or leaves it out as [`Encode::encode_apart`] says.
    pub fn required<T: Encode>(&mut self, key: &'static str, value: &T) {
        if let Some(bytes) = value.as_bytes()
            && self.leaves_out
            && self.apart.is_none()
            && bytes.len() >= ATTACH_FROM_BYTES
        {
            self.apart = Some((key, bytes.to_vec()));
        } else if self.error.is_none() {
            self.error = self.map.serialize_entry(key, &Encoder(value)).err();
        }
    }

    /// Writes an optional field. Writes nothing if it is `None`.
    pub fn optional<T: Encode>(&mut self, key: &'static str, value: &Option<T>) {
        if let Some(value) = value {
            self.required(key, value);
        }
    }

    /// Writes a field with a default, even if it has that value.
    pub fn or<T: Encode>(&mut self, key: &'static str, value: &T) {
        self.required(key, value);
    }

    /// Writes a required field whose value is in a box.
    #[expect(clippy::borrowed_box, reason = "it is what the field is, and no coercion applies to a `T`")]
    pub fn required_box<T: Encode>(&mut self, key: &'static str, value: &Box<T>) {
        self.required(key, &**value);
    }

    /// Writes an optional field whose value is in a box. Writes nothing if it is `None`.
    pub fn optional_box<T: Encode>(&mut self, key: &'static str, value: &Option<Box<T>>) {
        if let Some(value) = value {
            self.required(key, &**value);
        }
    }

    /// Writes a field with a default whose value is in a box.
    #[expect(clippy::borrowed_box, reason = "it is what the field is, and no coercion applies to a `T`")]
    pub fn or_box<T: Encode>(&mut self, key: &'static str, value: &Box<T>) {
        self.required(key, &**value);
    }

    /// Writes an entry by serde's `Serialize`.
    pub(crate) fn plain<T: serde::Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        if self.error.is_none() {
            self.error = self.map.serialize_entry(key, value).err();
        }
    }

    /// Ends the object, or returns the first error.
    pub(crate) fn finish(self) -> Result<S::Ok, S::Error> {
        match self.error {
            Some(error) => Err(error),
            None => self.map.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reply::Reply;
    use crate::types::bytes::Bytes;

    struct Image {
        small: Bytes,
        pixels: Bytes,
        preview: Option<Bytes>,
        of: Option<Box<Image>>,
    }

    impl EncodeRecord for Image {
        fn encode_fields<S: SerializeMap>(&self, writer: &mut RecordWriter<S>) {
            writer.required("small", &self.small);
            writer.required("pixels", &self.pixels);
            writer.optional("preview", &self.preview);
            writer.optional_box("of", &self.of);
        }
    }

    fn image(pixels: usize, of: Option<Image>) -> Image {
        let bytes = |bytes| Bytes::from(vec![7; bytes]);
        Image { small: bytes(3), pixels: bytes(pixels), preview: Some(bytes(300)), of: of.map(Box::new) }
    }

    #[test]
    fn large_bytes_of_a_response_are_sent_beside_it() {
        // The first large field of the response itself, not one within another object.
        let whole = image(10_000, Some(image(1000, None)));
        let plain = serde_json::to_value(Encoder(&whole)).unwrap();
        let reply = Reply::encode(&whole).unwrap().into_object();
        assert_eq!(reply.attached("pixels"), Some(&[7; 10_000][..]));
        let mut rest: Value = serde_json::from_str(reply.json()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&reply.to_json()).unwrap(), plain);
        rest["pixels"] = plain["pixels"].clone();
        assert_eq!(rest, plain);

        let reply = Reply::encode(&image(5, None)).unwrap().into_object();
        assert_eq!(reply.attached("preview").map(<[u8]>::len), Some(300));
        assert_eq!(
            serde_json::from_str::<Value>(reply.json()).unwrap(),
            json!({ "small": "BwcH", "pixels": "BwcHBwc=" })
        );
    }
}
