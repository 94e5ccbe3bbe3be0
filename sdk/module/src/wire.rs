//! How the manifest's types stand in JSON: read by [`Decode`], with the rules of the manifest, and written by [`Encode`].
//! Not serde's own traits, which fix other forms for some of them, such as a duration's.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::collect;
use crate::middleware::Reply;
use crate::rules::{self, Rule, Rules, check};
use crate::{Bytes, Value};

/// A value that can be read.
pub trait Decode: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If it is not of its type, or doesn't keep to the rules.
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error>;

    /// Whether a value keeps to the rules.
    ///
    /// # Errors
    ///
    /// What it must be instead.
    fn check(&self, _rules: Rules) -> Result<(), String> {
        Ok(())
    }
}

/// A value that can be written.
pub trait Encode {
    /// Writes it.
    ///
    /// # Errors
    ///
    /// If JSON has no such value.
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Writes an object, of which large bytes may be left out, to be sent beside it.
    ///
    /// # Errors
    ///
    /// If JSON has no such value.
    fn encode_apart<S: Serializer>(&self, serializer: S, _apart: &mut Apart) -> Result<S::Ok, S::Error> {
        self.encode(serializer)
    }

    /// The reply, where this is the response of a service.
    ///
    /// # Errors
    ///
    /// If JSON has no such value.
    fn into_reply(self) -> crate::Result<Reply>
    where
        Self: Sized,
    {
        Reply::of(&self)
    }

    /// The bytes, if it is nothing else.
    fn as_bytes(&self) -> Option<&[u8]> {
        None
    }
}

/// The bytes that were left out, and their key.
pub(crate) type Apart = Option<(&'static str, Vec<u8>)>;

/// Reads a `T`.
pub(crate) struct Decoder<T>(pub(crate) Rules, pub(crate) PhantomData<T>);

impl<'de, T: Decode> DeserializeSeed<'de> for Decoder<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::decode(deserializer, self.0)
    }
}

/// Writes a `T`.
pub(crate) struct Encoder<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Encode + ?Sized> Serialize for Encoder<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.encode(serializer)
    }
}

fn checked<T: Decode, E: serde::de::Error>(value: T, rules: Rules) -> Result<T, E> {
    match value.check(rules) {
        Ok(()) => Ok(value),
        Err(message) => Err(E::custom(message)),
    }
}

/// Those of which serde has the right form.
macro_rules! plain {
    ($($type:ty, $unit:literal, |$value:ident, $rule:ident| $allows:expr;)*) => {$(
        impl Decode for $type {
            fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
                checked(Self::deserialize(deserializer)?, rules)
            }

            fn check(&self, rules: Rules) -> Result<(), String> {
                let $value = self;
                check(rules, $unit, |$rule| $allows)
            }
        }
    )*};
}

plain! {
    String, "characters", |text, rule| match rule {
        Rule::Pattern(_, is_match) => is_match(text),
        rule => rule.allows_length(text.chars().count()),
    };
    i64, "", |integer, rule| match rule {
        Rule::Min(min) => integer >= min,
        Rule::Max(max) => integer <= max,
        _ => true,
    };
    f64, "", |float, rule| match rule {
        Rule::MinFloat(min) => float >= min,
        Rule::MaxFloat(max) => float <= max,
        _ => true,
    };
    bool, "", |_boolean, _rule| true;
    Bytes, "bytes", |bytes, rule| rule.allows_length(bytes.len());
}

macro_rules! encode_plain {
    ($($type:ty)*) => {$(
        impl Encode for $type {
            fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }
        }
    )*};
}

encode_plain!(String i64 bool Value);

impl Encode for Bytes {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl Encode for f64 {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // serde_json writes `null`, which would be read as absent.
        if self.is_finite() {
            serializer.serialize_f64(*self)
        } else {
            Err(S::Error::custom(format!("{self} is not a number in JSON")))
        }
    }
}

/// A visitor for texts, and perhaps integers, that mean something else.
struct Text<T, P> {
    expected: &'static str,
    parse: P,
    integer: Option<fn(u64) -> T>,
}

impl<T, P: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let Self { expected, parse, .. } = self;
        parse(text).map_err(|reason| E::custom(format!("not {expected}: {reason}")))
    }

    fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<T, E> {
        match self.integer {
            Some(make) => Ok(make(integer)),
            None => Err(E::invalid_type(serde::de::Unexpected::Unsigned(integer), &self)),
        }
    }
}

/// `duration`.
impl Decode for Duration {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
        let parse = |text: &str| humantime::parse_duration(text).map_err(|error| error.to_string());
        let visitor = Text { expected: "a duration such as \"250ms\"", parse, integer: None };
        checked(deserializer.deserialize_str(visitor)?, rules)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "", |rule| match rule {
            Rule::MinDuration(min) => self >= min,
            Rule::MaxDuration(max) => self <= max,
            _ => true,
        })
    }
}

impl Encode for Duration {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*self))
    }
}

/// `size`: the language's integers are `i64`, so this is no other type of its.
impl Decode for u64 {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
        // The parser rounds what is too large, and a manifest has no size above i64::MAX.
        let parse = |text: &str| match text.parse::<ByteSize>()?.as_u64() {
            size if i64::try_from(size).is_ok() => Ok(size),
            _ => Err("too large".to_owned()),
        };
        let visitor = Text { expected: "a size such as \"16MiB\"", parse, integer: Some(|bytes| bytes) };
        checked(deserializer.deserialize_any(visitor)?, rules)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "", |rule| match rule {
            Rule::MinSize(min) => self >= min,
            Rule::MaxSize(max) => self <= max,
            _ => true,
        })
    }
}

impl Encode for u64 {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*self)
    }
}

/// `path`.
impl Decode for PathBuf {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, _rules: Rules) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Encode for PathBuf {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.to_str() {
            Some(path) => serializer.serialize_str(path),
            None => Err(S::Error::custom(format!("the path {} is not UTF-8", self.display()))),
        }
    }
}

/// `datetime`.
#[cfg(feature = "datetime")]
pub use datetime::timestamp;

#[cfg(feature = "datetime")]
mod datetime {
    use jiff::Timestamp;
    use serde::{Deserializer, Serializer};

    use super::{Decode, Encode, Rules, Text};

    impl Decode for Timestamp {
        fn decode<'de, D: Deserializer<'de>>(deserializer: D, _rules: Rules) -> Result<Self, D::Error> {
            let parse = |text: &str| text.parse().map_err(|error: jiff::Error| error.to_string());
            let expected = "a point in time such as \"2026-01-31T12:00:00Z\"";
            deserializer.deserialize_str(Text { expected, parse, integer: None })
        }
    }

    /// A default from the manifest.
    ///
    /// # Panics
    ///
    /// If it is not a point in time, which was checked when the code was generated.
    #[must_use]
    pub fn timestamp(text: &str) -> Timestamp {
        text.parse().expect("the manifest's defaults were checked")
    }

    impl Encode for Timestamp {
        fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
}

/// Absent, or `null` where it can't be absent, as in a list.
impl<T: Decode> Decode for Option<T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
        struct OptionVisitor<T>(Rules, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for OptionVisitor<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                T::decode(deserializer, self.0).map(Some)
            }
        }

        deserializer.deserialize_option(OptionVisitor(rules, PhantomData))
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        self.as_ref().map_or(Ok(()), |value| value.check(rules))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Encoder).serialize(serializer)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
        struct ListVisitor<T>(Rules, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for ListVisitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let each = rules::for_each(self.0);
                let mut items = Vec::new();
                if !collect::is_collecting() {
                    while let Some(item) = list.next_element_seed(Decoder(each, PhantomData))? {
                        items.push(item);
                    }
                    return Ok(items);
                }
                let mut whole = true;
                for index in 0.. {
                    let read = || list.next_element_seed(Decoder(each, PhantomData));
                    match collect::at(&format!("[{index}]"), read) {
                        Some(Some(item)) => items.push(item),
                        Some(None) => break,
                        None => whole = false,
                    }
                }
                if whole { Ok(items) } else { Err(A::Error::custom("an item is wrong")) }
            }
        }

        let items: Self = deserializer.deserialize_seq(ListVisitor(rules, PhantomData))?;
        // The rules for each were checked when it was read.
        check(rules, "items", |rule| rule.allows_length(items.len())).map_err(D::Error::custom)?;
        Ok(items)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "items", |rule| rule.allows_length(self.len()))?;
        let each = rules::for_each(rules);
        self.iter()
            .enumerate()
            .try_for_each(|(index, item)| item.check(each).map_err(|wanted| format!("item {index} {wanted}")))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Encoder))
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, rules: Rules) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(Rules, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for EntriesVisitor<T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let each = rules::for_each(self.0);
                let collecting = collect::is_collecting();
                let mut whole = true;
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !collecting {
                        let value = map.next_value_seed(Decoder(each, PhantomData))?;
                        entries.insert(key, value);
                        continue;
                    }
                    match collect::at(&key, || map.next_value_seed(Decoder(each, PhantomData))) {
                        Some(value) => drop(entries.insert(key, value)),
                        None => whole = false,
                    }
                }
                if whole { Ok(entries) } else { Err(A::Error::custom("an entry is wrong")) }
            }
        }

        let entries: Self = deserializer.deserialize_map(EntriesVisitor(rules, PhantomData))?;
        check(rules, "entries", |rule| rule.allows_length(entries.len())).map_err(D::Error::custom)?;
        Ok(entries)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "entries", |rule| rule.allows_length(self.len()))?;
        let each = rules::for_each(rules);
        self.iter()
            .try_for_each(|(key, value)| value.check(each).map_err(|wanted| format!("the value of `{key}` {wanted}")))
    }
}

impl<T: Encode> Encode for BTreeMap<String, T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Encoder(value))))
    }
}

/// A type of the author's crate that stands for a generated one: it has serde's traits.
#[doc(hidden)]
#[macro_export]
macro_rules! __authors_type {
    ($type:ty) => {
        impl $crate::__private::Decode for $type {
            fn decode<'de, D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
                _rules: $crate::__private::Rules,
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
