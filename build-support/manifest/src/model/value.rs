//! A default, a bound, or the value of a key whose type the language fixes, such as `memory`; and how durations, sizes and points in
//! time are read from text. `read::value` reads all kinds from TOML. The host reads JSON with code of its own, but these three kinds
//! of text with the functions here.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use toml_datetime::Datetime;

use crate::duration::parse_duration;

/// A default, a bound, or the value of a key whose type the language fixes, such as `memory`. The host also makes one of a value of
/// a module's configuration, to check it against [`Bounds`](super::Bounds); in such a one the parts of a list or a map are
/// placeholders, since bounds only count them. The variant is that of the type; for a newtype, that of the inner type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A `string`.
    String(String),
    /// An `integer`.
    Integer(i64),
    /// A `float`: finite, also if the manifest has an integer.
    Float(f64),
    /// A `boolean`.
    Boolean(bool),
    /// A `bytes`: decoded from base64.
    Bytes(Vec<u8>),
    /// A `duration`.
    Duration(Duration),
    /// A `size`: a number of bytes. In a manifest at most 2^63 - 1.
    Size(u64),
    /// A `path`: any text, as written.
    Path(String),
    /// A `datetime`: a date, a time and an offset, before 9999-12-29, in the form of TOML with `T` and `Z` in upper case. The offset is
    /// that of the manifest.
    Datetime(String),
    /// A value of an enum: its text, which is listed in the manifest also if the enum is open.
    Enum(String),
    /// The items of a list, in the order of the manifest.
    List(Vec<Value>),
    /// The entries of a map; a key may be any text.
    Map(BTreeMap<String, Value>),
    /// A record or a table written in place: the given fields. Fields that are not given have their defaults or are absent.
    Record(BTreeMap<String, Value>),
    /// A union.
    Union {
        /// The name of the case.
        case: String,
        /// The given fields of the case.
        fields: BTreeMap<String, Value>,
    },
}

impl Value {
    /// Reads a duration: numbers with the units `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`, `months` (30.44 days) and `years`
    /// (365.25 days), which are added up, such as `250ms` or `1h 30m`. Long names of the units, such as `minutes`, are read too. Case
    /// counts: `1M` is a month, `1m` a minute.
    /// A number may have a decimal point (`1.5h`), except in `ns`; what it gives has to be whole nanoseconds, from `h` on whole seconds.
    /// Only `0` needs no unit. An empty text is an error.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in words; also if the sum does not fit into a [`Duration`], or a number in `ns`,
    /// `us` or `ms` is more than 584 years.
    pub fn duration(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Self::Duration)
    }

    /// Reads a size: a number and a unit, `B`, `kB` to `EB` (powers of 1000) or `KiB` to `EiB` (powers of 1024), such as `16MiB` or
    /// `500kB`. Units are read in upper and lower case, also without their `B`, and after spaces. The number may have a decimal point;
    /// a fraction of a byte is cut off. Without a unit it is a whole number of bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in words; also if the text is empty, or the size is negative or greater than 2^63 - 1 bytes.
    pub fn size(text: &str) -> Result<Self, String> {
        // The parser's own message names its types.
        let parsed = text.parse().map_err(|_: String| "a number and a unit such as B, kB or MiB is needed".to_owned());
        let ByteSize(size) = parsed?;
        // bytesize turns a size that is too large into u64::MAX. TOML's integers end at i64::MAX, and so do sizes.
        if size > i64::MAX as u64 { Err("too large".to_owned()) } else { Ok(Self::Size(size)) }
    }

    /// Reads a point in time: a date, a time and an offset, in the form of TOML or of RFC 3339. The value keeps the offset; its text has
    /// `T` and `Z` in upper case, and of a second's fraction the first nine digits: the rest is cut off.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in words; also if the date is 9999-12-29 or later.
    pub fn datetime(text: &str) -> Result<Self, String> {
        let datetime: Datetime = text.parse().map_err(|error: toml_datetime::DatetimeParseError| error.to_string())?;
        let (Some(date), Some(_), Some(_)) = (datetime.date, datetime.time, datetime.offset) else {
            return Err("a date, a time and an offset are needed".to_owned());
        };
        // `ixt_sdk::Timestamp` ends at 9999-12-30T22:00:00Z, and an offset is at most a day.
        if (date.year, date.month, date.day) >= (9999, 12, 29) {
            return Err("it has to be before 9999-12-29".to_owned());
        }
        Ok(Self::Datetime(datetime.to_string()))
    }

    /// The length of a value, and its unit in the singular and the plural. `None` if values of the type have no length.
    pub(super) fn length(&self) -> Option<(u64, [&'static str; 2])> {
        let (length, unit) = match self {
            Self::String(text) => (text.chars().count(), ["character", "characters"]),
            Self::Bytes(bytes) => (bytes.len(), ["byte", "bytes"]),
            Self::List(items) => (items.len(), ["item", "items"]),
            Self::Map(entries) => (entries.len(), ["entry", "entries"]),
            Self::Integer(_)
            | Self::Float(_)
            | Self::Boolean(_)
            | Self::Duration(_)
            | Self::Size(_)
            | Self::Path(_)
            | Self::Datetime(_)
            | Self::Enum(_)
            | Self::Record(_)
            | Self::Union { .. } => return None,
        };
        Some((length as u64, unit))
    }
}

/// Orders two values of the same type, if that type has an order ([`Scalar::has_order`](super::Scalar::has_order)). Two others
/// have no order: the result is `None`, also for equal ones.
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.partial_cmp(b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.partial_cmp(b),
            (Self::Size(a), Self::Size(b)) => a.partial_cmp(b),
            // Every variant is here, so that the compiler asks whether a new one has an order.
            (
                Self::String(_)
                | Self::Integer(_)
                | Self::Float(_)
                | Self::Boolean(_)
                | Self::Bytes(_)
                | Self::Duration(_)
                | Self::Size(_)
                | Self::Path(_)
                | Self::Datetime(_)
                | Self::Enum(_)
                | Self::List(_)
                | Self::Map(_)
                | Self::Record(_)
                | Self::Union { .. },
                _,
            ) => None,
        }
    }
}

/// Writes the value for people, in the style of TOML, in one line: texts and durations are in quotes, a size is in the largest
/// unit from `KiB` of which it is a whole multiple, in quotes, or else a number, and of a `bytes` only the number of its bytes is
/// shown. It is not always valid TOML: keys are not quoted, and control characters have Rust's escapes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |f: &mut fmt::Formatter<'_>, case: Option<&String>, entries: &BTreeMap<String, Value>| {
            let case = case.map(|case| format!("type = {case:?}"));
            let entries = entries.iter().map(|(key, value)| format!("{key} = {value}"));
            match case.into_iter().chain(entries).collect::<Vec<_>>().join(", ") {
                entries if entries.is_empty() => f.write_str("{}"),
                entries => write!(f, "{{ {entries} }}"),
            }
        };
        match self {
            Self::String(text) | Self::Path(text) | Self::Enum(text) => write!(f, "{text:?}"),
            Self::Datetime(text) => f.write_str(text),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Duration(duration) => write!(f, "\"{}\"", humantime::format_duration(*duration)),
            Self::Size(size) if size % 1024 == 0 && *size > 0 => write!(f, "\"{}\"", in_largest_unit(*size)),
            Self::Size(size) => write!(f, "{size}"),
            Self::List(items) => {
                write!(f, "[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Map(entries) | Self::Record(entries) => table(f, None, entries),
            Self::Union { case, fields } => table(f, Some(case), fields),
        }
    }
}

/// A size above 0 in the largest unit, `B` or `KiB` to `EiB`, of which it is a whole multiple, so that nothing is rounded.
fn in_largest_unit(mut size: u64) -> String {
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = "B";
    while size.is_multiple_of(1024)
        && let Some(next) = units.next()
    {
        size /= 1024;
        unit = next;
    }
    format!("{size}{unit}")
}
