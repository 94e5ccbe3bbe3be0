//! The built-in types that hold one value.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::{SecretSlice, SecretString};
use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::bytes::Bytes;
use super::duration::parse_duration;
use super::rules::{Rule, Rules, check};
use super::{Decode, Encode, Reading};

fn checked<T: Decode, E: serde::de::Error>(value: T, rules: Rules) -> Result<T, E> {
    match value.check(rules) {
        Ok(()) => Ok(value),
        Err(message) => Err(E::custom(message)),
    }
}

/// Types whose form is serde's own.
macro_rules! plain {
    ($($type:ty, $unit:literal, |$value:ident, $rule:ident| $allows:expr;)*) => {$(
        impl Decode for $type {
            fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
                checked(Self::deserialize(deserializer)?, reading.rules)
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

/// Reads a string that stands for something else.
struct Text<T, P> {
    expected: &'static str,
    parse: P,
    /// Makes the value of an integer, if one is accepted too.
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
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        let visitor = Text { expected: "a duration such as \"250ms\"", parse: parse_duration, integer: None };
        checked(deserializer.deserialize_str(visitor)?, reading.rules)
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

/// `size`. No other type of the manifest is `u64` in Rust: its integers are `i64`.
impl Decode for u64 {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        // The parser rounds sizes that are too large. No size of the manifest is above `i64::MAX`.
        let parse = |text: &str| match text.parse::<ByteSize>()?.as_u64() {
            size if i64::try_from(size).is_ok() => Ok(size),
            _ => Err("too large".to_owned()),
        };
        let visitor = Text { expected: "a size such as \"16MiB\"", parse, integer: Some(|bytes| bytes) };
        checked(deserializer.deserialize_any(visitor)?, reading.rules)
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
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, _: Reading<'_>) -> Result<Self, D::Error> {
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

    use super::super::{Decode, Encode, Reading};
    use super::Text;

    impl Decode for Timestamp {
        fn decode<'de, D: Deserializer<'de>>(deserializer: D, _: Reading<'_>) -> Result<Self, D::Error> {
            let parse = |text: &str| text.parse().map_err(|error: jiff::Error| error.to_string());
            let expected = "a point in time such as \"2026-01-31T12:00:00Z\"";
            deserializer.deserialize_str(Text { expected, parse, integer: None })
        }
    }

    /// A default of the manifest, for generated code.
    ///
    /// # Panics
    ///
    /// If it is not a point in time. Code is generated only for defaults that are.
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

/// A `string` of the configuration with `secret = true`.
impl Decode for SecretString {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        String::decode(deserializer, reading).map(Self::from)
    }
}

/// `bytes` of the configuration with `secret = true`.
impl Decode for SecretSlice<u8> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        Bytes::decode(deserializer, reading).map(|bytes| Self::from(bytes.into_vec()))
    }
}
