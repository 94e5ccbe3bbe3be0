//! Reads the manifest's types from JSON, checks the rules of the manifest, and writes the types as JSON. serde's own traits would not do:
//! they fix other forms for some types (a duration's, say), and check no rules. Generated types have serde's traits too, which use these.
//!
//! [`Decode`] and [`Encode`] are the two traits. `scalars` and `containers` implement them for the built-in types, of which `bytes` is
//! defined here. `record`, `newtype`, `text_enum` and `union` each have the macro that implements them for one kind of generated type.
//! `rules` has the manifest's rules for values, and `mistakes` collects all mistakes of a configuration.

pub(crate) mod bytes;
mod containers;
mod duration;
pub(crate) mod mistakes;
pub(crate) mod newtype;
pub(crate) mod record;
pub(crate) mod rules;
pub(crate) mod scalars;
pub(crate) mod text_enum;
pub(crate) mod union;

use std::marker::PhantomData;

use serde::de::DeserializeSeed;
use serde::{Deserializer, Serialize, Serializer};

use mistakes::Mistakes;
use rules::Rules;

/// The rules for a value that is read, and whether reading goes on after a mistake. Rules are not checked when a value is written.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The rules for the value.
    rules: Rules,
    /// Collects all mistakes, so that reading goes on after the first. `None`: the first mistake ends the reading.
    mistakes: Option<&'a Mistakes>,
}

impl<'a> Reading<'a> {
    /// Reads by these rules, up to the first mistake. Empty rules allow every value of the type.
    #[must_use]
    pub const fn by(rules: Rules) -> Self {
        Self { rules, mistakes: None }
    }

    /// Reads by these rules, and notes all mistakes.
    pub(crate) fn noting(rules: Rules, mistakes: &'a Mistakes) -> Self {
        Self { rules, mistakes: Some(mistakes) }
    }

    /// The same with other rules in place of these: those for a part of the value, or those of a newtype.
    #[must_use]
    pub fn with(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }
}

/// A value of a manifest type that can be read from JSON.
pub trait Decode: Sized {
    /// Reads a value, and checks it against the rules of `reading`. Records, unions and newtypes have rules of their own instead, and check
    /// those. Enums, paths, datetimes, booleans and types that the author has written check none.
    ///
    /// # Errors
    ///
    /// If the JSON is not of this type, or the value breaks a rule: the first mistake. If `reading` collects mistakes, they are noted
    /// there, and the error may say no more than that there are some.
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error>;

    /// Checks a value against rules, as `decode` does, but takes a record, a union, a newtype or a secret whatever it is. Types without
    /// rules take every value. `TryFrom` of a newtype calls it.
    ///
    /// # Errors
    ///
    /// What the value must be, such as "must be at least 1", for the first rule that it breaks; for an item of a list or a value of a map,
    /// with its index or key before that. The value itself is left out: it may be secret.
    fn check(&self, _rules: Rules) -> Result<(), String> {
        Ok(())
    }
}

/// A value of a manifest type that can be written as JSON. Tables of `[config]` and secrets can't.
pub trait Encode {
    /// Writes the value, without checking its rules.
    ///
    /// # Errors
    ///
    /// If JSON can't express the value: a float that is not finite, a path that is not UTF-8. A type that the author has written may have
    /// other errors.
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Writes the value. A record leaves out its first field of the type `bytes` (or of a newtype of it) that has 64 bytes or more, and
    /// puts it into `apart`; other types, and records within it, leave out nothing, and don't change `apart`. For a reply, whose bytes can
    /// be sent raw.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Self::encode).
    fn encode_apart<S: Serializer>(&self, serializer: S, _apart: &mut Apart) -> Result<S::Ok, S::Error> {
        self.encode(serializer)
    }

    /// The bytes, if this is a value of the type `bytes` or of a newtype of it. `None` for all other types.
    fn as_bytes(&self) -> Option<&[u8]> {
        None
    }
}

/// The key and the value of the `bytes` field that was left out. `None` if none was.
pub(crate) type Apart = Option<(&'static str, Vec<u8>)>;

/// The serde seed that reads a `T` with this `Reading`.
struct DecodeSeed<'a, T>(Reading<'a>, PhantomData<T>);

impl<'a, T> DecodeSeed<'a, T> {
    fn new(reading: Reading<'a>) -> Self {
        Self(reading, PhantomData)
    }
}

impl<'de, T: Decode> DeserializeSeed<'de> for DecodeSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::decode(deserializer, self.0)
    }
}

/// The serde `Serialize` that writes a `T` by its `Encode`.
struct Encoder<'a, T: ?Sized>(&'a T);

impl<T: Encode + ?Sized> Serialize for Encoder<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.encode(serializer)
    }
}

/// Implements the traits by serde's, for a type that the author has written to replace a generated one. The manifest's rules for such
/// values are not checked.
#[doc(hidden)]
#[macro_export]
macro_rules! __authors_type {
    ($type:ty) => {
        impl $crate::__private::Decode for $type {
            fn decode<'de, D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
                _reading: $crate::__private::Reading<'_>,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::__private::serde::Deserialize::deserialize(deserializer)
            }
        }

        impl $crate::__private::Encode for $type {
            fn encode<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::__private::serde::Serialize::serialize(self, serializer)
            }
        }
    };
}
