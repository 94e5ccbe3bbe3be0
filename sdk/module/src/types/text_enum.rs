//! The enums of the manifest in generated code, whose values are strings. The enum of topics is in `topic.rs`. The rules of a field don't
//! apply to an enum.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserializer, Serializer};

/// The error of the `FromStr` of an enum of the manifest: the enum has no value with this name, and is closed. Its message lists the values
/// in the order of the enum's `ALL`, and quotes the string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownValue {
    value: String,
    known: &'static [&'static str],
}

impl UnknownValue {
    /// The string that was parsed.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown value `{}`, expected {}", self.value, OneOf(self.known))
    }
}

impl std::error::Error for UnknownValue {}

/// Displays the names as a list: `` `a`, `b` or `c` ``.
struct OneOf(&'static [&'static str]);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let separator = match index {
                0 => "",
                index if index + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}`{name}`")?;
        }
        Ok(())
    }
}

/// The values of an enum; generated code implements it.
pub trait TextEnum: Sized + 'static {
    /// The values that the manifest declares: in the order of its array, or sorted if it is a table.
    const NAMES: &'static [&'static str];

    /// The value with this index in `NAMES`. Called with such an index only.
    fn known(index: usize) -> Self;

    /// The value for a string that is not in `NAMES`. `None` if the enum is closed: such a string is an error.
    #[must_use]
    fn unknown(_text: &str) -> Option<Self> {
        None
    }

    /// The string of this value: one of `NAMES`, or, for an unknown value of an open enum, the string that it holds.
    fn name(&self) -> &str;
}

/// Finds the value for a string, which has to be the same letter by letter. An open enum takes any other string as its unknown value.
///
/// # Errors
///
/// If the string is not in `NAMES`, and the enum is closed.
pub fn find_value<T: TextEnum>(text: &str) -> Result<T, UnknownValue> {
    match T::NAMES.iter().position(|name| *name == text) {
        Some(index) => Ok(T::known(index)),
        None => T::unknown(text).ok_or_else(|| UnknownValue { value: text.to_owned(), known: T::NAMES }),
    }
}

/// Reads a value. An open enum takes any string. The macro `__text_enum` calls this.
///
/// # Errors
///
/// If it is not a string, or no value has this name and the enum is closed.
pub fn decode_enum<'de, T: TextEnum, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct EnumVisitor<T>(std::marker::PhantomData<T>);

    impl<T: TextEnum> Visitor<'_> for EnumVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", OneOf(T::NAMES))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            // In the form of serde's messages, from which `InvalidJson::without_value` removes the value.
            find_value(text).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(EnumVisitor(std::marker::PhantomData))
}

/// Writes a value as its string. The macro `__text_enum` calls this.
///
/// # Errors
///
/// Those of the serializer.
pub fn encode_enum<T: TextEnum, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

/// Implements the traits for a generated enum that has `TextEnum`: `Display`, `FromStr`, `Decode`, `Encode` and serde's. The rules of a
/// field don't apply to an enum.
#[doc(hidden)]
#[macro_export]
macro_rules! __text_enum {
    ($type:ty) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad($crate::__private::TextEnum::name(self))
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownValue;

            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::UnknownValue> {
                $crate::__private::find_value(text)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Decode for $type {
            fn decode<'de, __D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: __D,
                _reading: $crate::__private::Reading<'_>,
            ) -> ::std::result::Result<Self, __D::Error> {
                $crate::__private::decode_enum(deserializer)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Encode for $type {
            fn encode<__S: $crate::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::std::result::Result<__S::Ok, __S::Error> {
                $crate::__private::encode_enum(self, serializer)
            }
        }

        $crate::__private::serde_traits!($type);
    };
}
