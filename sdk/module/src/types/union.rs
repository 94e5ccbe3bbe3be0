//! Generated unions: objects whose key `type` names the case, beside the fields of that case.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serializer};
use serde_json::{Map, Value};

use super::Reading;
use super::record::{Field, RecordReader, RecordWriter};

/// The key that names the case.
const TAG: &str = "type";

/// A case of a generated union.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The value of `type`.
    pub name: &'static str,
    /// The fields beside it, sorted by key. May be empty.
    pub fields: &'static [Field],
}

/// The reading and writing of a union; generated code implements it.
pub trait Union: Sized {
    /// The cases that the manifest declares, sorted by name. No two have the same name.
    const CASES: &'static [Case];

    /// Reads the fields of the case with this index in `CASES`. `None` if a required one is wrong or missing; the reader keeps the error.
    /// `Some` does not mean that all is right: the reader may have an error nevertheless.
    fn decode_case<'de, A: MapAccess<'de>>(case: usize, reader: &mut RecordReader<'de, '_, A>) -> Option<Self>;

    /// The value for an object of an unknown case; the object has `type` too. `None` if the union is closed: such an object is an error.
    #[must_use]
    fn unknown(_object: Value) -> Option<Self> {
        None
    }

    /// Writes `type` and then the fields, or the entries of an object of an unknown case, without a check.
    fn encode_case<S: SerializeMap>(&self, writer: &mut RecordWriter<S>);
}

/// Reads a union.
///
/// # Errors
///
/// If it is not an object, has no `type` or one that is not a string, has an unknown `type` and the union is closed, has a field twice, or
/// its fields are wrong for the case.
pub fn decode_union<'de, U: Union, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<U, D::Error> {
    struct UnionVisitor<'a, U>(Reading<'a>, PhantomData<U>);

    impl<'de, U: Union> Visitor<'de> for UnionVisitor<'_, U> {
        type Value = U;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a `type`")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<U, A::Error> {
            // Fields before `type` are kept until the case is known. The writers in this file put `type` first.
            let mut waiting = Map::new();
            let tag = loop {
                match map.next_key::<String>()? {
                    Some(key) if key == TAG => break map.next_value::<String>()?,
                    Some(key) => {
                        if waiting.contains_key(&key) {
                            return Err(A::Error::custom(format!("duplicate field `{key}`")));
                        }
                        let value = map.next_value()?;
                        waiting.insert(key, value);
                    }
                    None => return Err(A::Error::missing_field(TAG)),
                }
            };
            let Some(index) = U::CASES.iter().position(|case| case.name == tag) else {
                let known = Known(U::CASES);
                let unknown = || A::Error::invalid_value(serde::de::Unexpected::Str(&tag), &known);
                waiting.insert(TAG.to_owned(), Value::from(tag.as_str()));
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    waiting.insert(key, value);
                }
                return U::unknown(Value::Object(waiting)).ok_or_else(unknown);
            };
            let rest = Rest { waiting: waiting.into_iter(), value: None, map };
            let mut reader = RecordReader::new(rest, U::CASES[index].fields, self.0);
            let union = U::decode_case(index, &mut reader);
            reader.finish(union)
        }
    }

    deserializer.deserialize_map(UnionVisitor(reading, PhantomData))
}

/// Writes a union, `type` first.
///
/// # Errors
///
/// Those of the serializer.
pub fn encode_union<U: Union, S: Serializer>(union: &U, serializer: S) -> Result<S::Ok, S::Error> {
    let mut writer = RecordWriter::new(serializer.serialize_map(None)?);
    union.encode_case(&mut writer);
    writer.finish()
}

impl<S: SerializeMap> RecordWriter<S> {
    /// Writes `type`.
    pub fn case(&mut self, name: &'static str) {
        self.plain(TAG, name);
    }

    /// Writes the entries of an object of an unknown case, `type` among them. Writes nothing if the value is not an object.
    pub fn unknown(&mut self, object: &Value) {
        for (key, value) in object.as_object().into_iter().flatten() {
            self.plain(key, value);
        }
    }
}

/// Displays the names of the cases, for the error of an unknown one.
struct Known(&'static [Case]);

impl serde::de::Expected for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, case) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            write!(f, "{separator}`{}`", case.name)?;
        }
        Ok(())
    }
}

/// The fields of an object beside its `type`: first those that came before it, then the others.
struct Rest<A> {
    waiting: serde_json::map::IntoIter,
    /// The value of the last key from `waiting`, until it is read.
    value: Option<Value>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.waiting.next() {
            Some((key, value)) => {
                self.value = Some(value);
                seed.deserialize(key.into_deserializer()).map(Some)
            }
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value).map_err(A::Error::custom),
            None => self.map.next_value_seed(seed),
        }
    }
}

/// Implements the traits for a generated union. The arguments: the variant for unknown cases, if the union is open; and for each case its
/// index, its variant, its `type`, and either the record that it holds, or its fields as in `record!`:
///
/// ```text
/// union! {
///     Payment; Unknown,
///     0 Card = "card" (Card),
///     1 Cash = "cash" {
///         0 amount = required("amount"),
///     },
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __union {
    ($type:ident $(; $unknown:ident)?, $($index:tt $variant:ident = $tag:literal $content:tt,)*) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Union for $type {
            const CASES: &'static [$crate::__private::Case] = &[$($crate::__private::Case {
                name: $tag,
                fields: $crate::__private::union!(@specs $content),
            }),*];

            fn decode_case<'de, __A: $crate::__private::serde::de::MapAccess<'de>>(
                case: usize,
                reader: &mut $crate::__private::RecordReader<'de, '_, __A>,
            ) -> ::std::option::Option<Self> {
                match case {
                    $($index => $crate::__private::union!(@read reader $variant $content),)*
                    _ => ::std::option::Option::None,
                }
            }

            $(
                fn unknown(object: $crate::Value) -> ::std::option::Option<Self> {
                    ::std::option::Option::Some(Self::$unknown(object))
                }
            )?

            fn encode_case<__S: $crate::__private::serde::ser::SerializeMap>(
                &self,
                writer: &mut $crate::__private::RecordWriter<__S>,
            ) {
                match self {
                    $(
                        Self::$variant { .. } => {
                            writer.case($tag);
                            $crate::__private::union!(@write self writer $variant $content);
                        }
                    )*
                    $(Self::$unknown(object) => writer.unknown(object),)?
                }
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Decode for $type {
            fn decode<'de, __D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: __D,
                reading: $crate::__private::Reading<'_>,
            ) -> ::std::result::Result<Self, __D::Error> {
                $crate::__private::decode_union(deserializer, reading)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Encode for $type {
            fn encode<__S: $crate::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::std::result::Result<__S::Ok, __S::Error> {
                $crate::__private::encode_union(self, serializer)
            }
        }

        $crate::__private::serde_traits!($type);
    };

    (@specs ($record:ident)) => {
        <$record as $crate::__private::DecodeRecord>::FIELDS
    };
    (@specs { $($fields:tt)* }) => {
        $crate::__private::fields!(@specs $($fields)*)
    };

    (@read $reader:ident $variant:ident ($record:ident)) => {
        <$record as $crate::__private::DecodeRecord>::decode_fields($reader).map(Self::$variant)
    };
    (@read $reader:ident $variant:ident { $($fields:tt)* }) => {
        $crate::__private::fields!(@read $reader (Self::$variant) $($fields)*)
    };

    (@write $self:ident $writer:ident $variant:ident ($record:ident)) => {
        if let Self::$variant(record) = $self {
            $crate::__private::EncodeRecord::encode_fields(record, $writer);
        }
    };
    (@write $self:ident $writer:ident $variant:ident {
        $($index:tt $field:ident = $kind:ident($key:literal $($default_and_rules:tt)*),)*
    }) => {
        $(
            if let Self::$variant { $field: value, .. } = $self {
                $writer.$kind($key, value);
            }
        )*
    };
}
