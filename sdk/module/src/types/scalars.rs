//! The built-in types that hold one value: how each is read from JSON with its rules, and written.

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

/// The value, if it obeys the rules; otherwise the error that says what it must be.
fn checked<T: Decode, E: serde::de::Error>(value: T, rules: Rules) -> Result<T, E> {
    match value.check(rules) {
        Ok(()) => Ok(value),
        Err(message) => Err(E::custom(message)),
    }
}

/// Types that are read by serde's `Deserialize`, and then checked. The unit is that of `min_length` and `max_length`, empty for types
/// without a length. A float may be written as an integer in JSON, but an integer not as a float: `1.0` is an error, and so is a number
/// beyond the range of `i64`.
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
        // serde_json would write `null`, which is read as absent.
        if self.is_finite() {
            serializer.serialize_f64(*self)
        } else {
            Err(S::Error::custom(format!("{self} is not a number in JSON")))
        }
    }
}

/// Reads a value from a string with a form, such as a duration's.
struct Text<T, P> {
    /// The form, for error messages, such as `a duration such as "250ms"`.
    expected: &'static str,
    parse: P,
    /// Makes the value of an integer. `None`: an integer is an error.
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

/// The manifest's type `duration`: text such as `250ms`, in the form that `duration.rs` reads; a number is an error. It is written in the
/// same form, without loss, but perhaps with other units: `90s` becomes `1m 30s`.
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

/// The manifest's type `size`, in bytes: text such as `16MiB`, or an integer up to `u64::MAX`; text up to `i64::MAX`. A negative number and
/// a float are errors. Written as an integer. No other type of the manifest is `u64` in Rust: its integers are `i64`.
impl Decode for u64 {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        // The parser rounds sizes that are too large, instead of refusing them. `i64::MAX` is the limit of the manifest.
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

/// The manifest's type `path`. Any text is a path, also an empty one: it is not looked up, and may be relative. It has no rules.
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

/// The manifest's type `datetime`: text with an offset, such as `2026-01-31T12:00:00Z`. It is written in UTC, with `Z`. It has no rules.
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
    /// If it is not a point in time. The manifest's check refuses such a default, so that no code is generated for it.
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

/// The type of a `string` of the configuration with `secret = true`. It is checked as a `String` is, and can't be written.
impl Decode for SecretString {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        String::decode(deserializer, reading).map(Self::from)
    }
}

/// The type of `bytes` of the configuration with `secret = true`. They are checked as [`Bytes`] are, and can't be written.
impl Decode for SecretSlice<u8> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        Bytes::decode(deserializer, reading).map(|bytes| Self::from(bytes.into_vec()))
    }
}
