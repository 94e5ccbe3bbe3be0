//! Reads JSON objects into generated records. Unlike serde's derive this takes nothing but an object (not an array of the
//! fields in order), and generated code stays small, which is what makes large manifests cheap to compile.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Implemented by every generated record.
pub trait Record: Sized {
    /// The fields' keys, sorted.
    const KEYS: &'static [&'static str];

    /// Reads the fields, each by its index in `KEYS`.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    fn read<'de, A: MapAccess<'de>>(reader: &mut RecordReader<A>) -> Result<Self, A::Error>;
}

/// `Deserialize::deserialize` of every generated record.
///
/// # Errors
///
/// If it is not an object, lacks a field, or a field is not of its type. Unknown fields are ignored (protocol).
pub fn deserialize_record<'de, R: Record, D: Deserializer<'de>>(deserializer: D) -> Result<R, D::Error> {
    struct RecordVisitor<R>(PhantomData<R>);

    impl<'de, R: Record> Visitor<'de> for RecordVisitor<R> {
        type Value = R;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<R, A::Error> {
            R::read(&mut RecordReader { map, keys: R::KEYS })
        }
    }

    deserializer.deserialize_map(RecordVisitor(PhantomData))
}

/// The fields of one object.
#[derive(Debug)]
pub struct RecordReader<A> {
    map: A,
    keys: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> RecordReader<A> {
    /// The index of the next field in `KEYS`, or one beyond them if it is not known; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the JSON is wrong.
    pub fn next_key(&mut self) -> Result<Option<usize>, A::Error> {
        self.map.next_key_seed(Key(self.keys))
    }

    /// Passes over the value of a field that is not known.
    ///
    /// # Errors
    ///
    /// If the JSON is wrong.
    pub fn skip(&mut self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(drop)
    }

    /// Reads the value of a field that is known.
    ///
    /// # Errors
    ///
    /// If it is not of its type, or is there for the second time.
    pub fn value<T: Deserialize<'de>>(&mut self, index: usize, field: &mut Option<T>) -> Result<(), A::Error> {
        if field.is_some() {
            return Err(A::Error::duplicate_field(self.keys[index]));
        }
        *field = Some(self.map.next_value()?);
        Ok(())
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    ///
    /// If it isn't.
    pub fn required<T>(&self, index: usize, field: Option<T>) -> Result<T, A::Error> {
        field.ok_or_else(|| A::Error::missing_field(self.keys[index]))
    }
}

/// Finds a key among those that are known.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        Ok(self.0.binary_search(&key).unwrap_or(self.0.len()))
    }
}
