//! Values that a manifest holds, checked against the type that they are declared with.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytesize::ByteSize;
use toml::de::DeValue;
use toml_datetime::Datetime;

use crate::model::{Case, Field, Kind, Message, Shape, Type, TypeDefinition};
use crate::read::table_reader::{self as table, Node, expected, list};
use crate::suggest::closest;
use crate::{Code, Diagnostic, Span};

/// A default or a bound from the manifest. Its shape follows the type it was checked against.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of type `string`.
    String(String),
    /// Of type `integer`.
    Integer(i64),
    /// Of type `float`; finite.
    Float(f64),
    /// Of type `boolean`.
    Boolean(bool),
    /// Of type `bytes`; decoded.
    Bytes(Vec<u8>),
    /// Of type `duration`.
    Duration(Duration),
    /// Of type `size`, in bytes.
    Size(u64),
    /// Of type `path`.
    Path(String),
    /// Of type `datetime`, by RFC 3339.
    Datetime(String),
    /// Of an enum: one of its values.
    Enum(String),
    /// Of a list type.
    List(Vec<Value>),
    /// Of a map type.
    Map(BTreeMap<String, Value>),
    /// Of a record, or a table in place: the fields that are given.
    Record(BTreeMap<String, Value>),
    /// Of a union.
    Union {
        /// The name of the case.
        case: String,
        /// The fields of the case that are given.
        fields: BTreeMap<String, Value>,
    },
}

impl Value {
    /// Reads a duration as configurations and messages write it, such as `"250ms"` or `"1h 30m"`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn duration(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self::Duration).map_err(|error| error.to_string())
    }

    /// Reads a size as configurations and messages write it, such as `"16MiB"` or `"500kB"`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn size(text: &str) -> Result<Self, String> {
        // The parser's own message is about its types.
        let parsed = text.parse().map_err(|_: String| "a number and a unit such as B, kB or MiB is needed".to_owned());
        let ByteSize(size) = parsed?;
        // The crate rounds what is too large to u64::MAX, and no integer of TOML or of this language is above i64::MAX.
        if size > i64::MAX as u64 { Err("too large".to_owned()) } else { Ok(Self::Size(size)) }
    }

    /// Reads a point in time by RFC 3339, with its offset.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
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
}

/// Of two values of the same type that has an order.
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.partial_cmp(b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.partial_cmp(b),
            (Self::Size(a), Self::Size(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

/// As a manifest would write it; bytes by their number alone.
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
            Self::Size(size) if size % 1024 == 0 && *size > 0 => write!(f, "\"{}\"", whole_units(*size)),
            Self::Size(size) => write!(f, "{size}"),
            Self::List(items) => {
                write!(f, "[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Map(entries) | Self::Record(entries) => table(f, None, entries),
            Self::Union { case, fields } => table(f, Some(case), fields),
        }
    }
}

/// In the largest unit of which it is a whole number, so that nothing is rounded.
fn whole_units(mut size: u64) -> String {
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

/// Reads values by their types, and says of each that doesn't fit why.
pub(crate) struct Reader<'r> {
    /// The types of `[types]`.
    pub(crate) types: &'r BTreeMap<String, TypeDefinition>,
    /// How messages call the value as a whole.
    pub(crate) place: String,
    /// Which mistake it is.
    pub(crate) code: Code,
    /// Where the type of the value is declared, if that is in the manifest.
    pub(crate) declared: Option<Span>,
}

impl Reader<'_> {
    /// `None` if it was reported, or its type was.
    pub(crate) fn read(&self, node: Node<'_>, ty: &Type, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        let before = errors.len();
        let value = self.read_kind(node, &ty.kind, errors)?;
        if errors.len() == before
            && let Err(wanted) = ty.bounds.check(&value)
        {
            errors.push(self.wrong(node, format!("expected {wanted}")));
        }
        Some(value)
    }

    fn read_kind(&self, node: Node<'_>, kind: &Kind, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        let parsed =
            |parsed: Result<Value, String>, what: &str| parsed.map_err(|error| format!("expected {what}: {error}"));
        let value = match (kind, node.get_ref()) {
            (Kind::String, DeValue::String(text)) => Ok(Value::String(text.to_string())),
            (Kind::Path, DeValue::String(text)) => Ok(Value::Path(text.to_string())),
            (Kind::Boolean, DeValue::Boolean(value)) => Ok(Value::Boolean(*value)),
            (Kind::Integer, DeValue::Integer(_)) => integer(node).map(Value::Integer),
            (Kind::Float, DeValue::Float(float)) => match float.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Value::Float(float)),
                _ => Err("expected a finite number: JSON has no other".to_owned()),
            },
            (Kind::Float, DeValue::Integer(_)) => integer(node).and_then(|integer| {
                exact_float(integer)
                    .map(Value::Float)
                    .ok_or("is no exact float; write it with a decimal point".to_owned())
            }),
            (Kind::Bytes, DeValue::String(text)) => STANDARD
                .decode(text.as_bytes())
                .map(Value::Bytes)
                .map_err(|error| format!("expected base64 text: {error}")),
            (Kind::Duration, DeValue::String(text)) => parsed(Value::duration(text), "a duration such as `250ms`"),
            (Kind::Size, DeValue::String(text)) => parsed(Value::size(text), "a size such as `16MiB`"),
            (Kind::Size, DeValue::Integer(_)) => integer(node).and_then(|integer| {
                u64::try_from(integer).map(Value::Size).map_err(|_| "a size can't be negative".to_owned())
            }),
            (Kind::Datetime, DeValue::Datetime(datetime)) => {
                parsed(Value::datetime(&datetime.to_string()), "a point in time such as `2026-01-31T12:00:00Z`")
            }
            (Kind::Datetime, DeValue::String(text)) => {
                parsed(Value::datetime(text), "a point in time such as `2026-01-31T12:00:00Z`")
            }
            (Kind::Enum(values), DeValue::String(text)) => {
                return self.enum_value(node, text, values.iter().map(|value| value.name.as_str()), errors);
            }
            (Kind::List(item), DeValue::Array(items)) => {
                Ok(Value::List(items.iter().filter_map(|node| self.read(node, item, errors)).collect()))
            }
            (Kind::Map(value), DeValue::Table(entries)) => Ok(Value::Map(
                table::entries(entries)
                    .into_iter()
                    .filter_map(|(key, node)| Some((key.to_string(), self.read(node, value, errors)?)))
                    .collect(),
            )),
            (Kind::Table(fields), DeValue::Table(entries)) => {
                Ok(Value::Record(self.fields(node, entries, fields, None, errors)))
            }
            (Kind::Named(name), _) => return self.read_named(node, name, errors),
            _ => Err(expected(&described(kind), node)),
        };
        value.map_err(|label| errors.push(self.wrong(node, label))).ok()
    }

    fn read_named(&self, node: Node<'_>, name: &str, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        // A type that isn't there was reported where it is named.
        let definition = self.types.get(name)?;
        match (&definition.shape, node.get_ref()) {
            (Shape::Newtype(ty), _) => self.read(node, ty, errors),
            (Shape::Enum { values, .. }, DeValue::String(text)) => {
                self.enum_value(node, text, values.iter().map(|value| value.name.as_str()), errors)
            }
            (Shape::Record(fields), DeValue::Table(entries)) => {
                Some(Value::Record(self.fields(node, entries, fields, None, errors)))
            }
            (Shape::Union { cases, .. }, DeValue::Table(entries)) => self.union(node, entries, cases, errors),
            (shape, _) => {
                let kind = if matches!(shape, Shape::Enum { .. }) { "a string" } else { "a table" };
                errors.push(self.wrong(node, expected(&format!("{kind} for the type `{name}`"), node)));
                None
            }
        }
    }

    fn enum_value<'v>(
        &self,
        node: Node<'_>,
        text: &str,
        values: impl Iterator<Item = &'v str> + Clone,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        if values.clone().any(|value| value == text) {
            return Some(Value::Enum(text.to_owned()));
        }
        let meant = closest(text, values.clone());
        errors.push(self.wrong(node, format!("expected {}", table::one_of(values))).suggest(meant));
        None
    }

    fn union(
        &self,
        node: Node<'_>,
        entries: &toml::de::DeTable<'_>,
        cases: &[Case],
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let names = cases.iter().map(|case| case.name.as_str());
        let Some(tag) = entries.get("type") else {
            errors.push(self.wrong(node, format!("expected a `type`: {}", table::one_of(names))));
            return None;
        };
        let case = tag.get_ref().as_str().and_then(|tag| cases.iter().find(|case| case.name.as_str() == tag));
        let Some(case) = case else {
            let meant = tag.get_ref().as_str().and_then(|tag| closest(tag, names.clone()));
            errors.push(self.wrong(tag, format!("expected {}", table::one_of(names))).suggest(meant));
            return None;
        };
        let fields = match &case.content {
            Message::Inline { fields, .. } => fields,
            Message::Named(name) => match &self.types.get(name.as_str())?.shape {
                Shape::Record(fields) => fields,
                _ => return None,
            },
        };
        Some(Value::Union {
            case: case.name.to_string(),
            fields: self.fields(node, entries, fields, Some("type"), errors),
        })
    }

    fn fields(
        &self,
        node: Node<'_>,
        entries: &toml::de::DeTable<'_>,
        fields: &[Field],
        tag: Option<&str>,
        errors: &mut Vec<Diagnostic>,
    ) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        for (key, value) in entries.iter().filter(|(key, _)| tag != Some(key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            match fields.iter().find(|field| field.name.as_str() == name) {
                Some(field) => {
                    values.extend(self.read(value, &field.ty, errors).map(|value| (name.to_owned(), value)));
                }
                None => {
                    let names = fields.iter().map(|field| field.name.as_str());
                    let unknown =
                        Diagnostic::new(self.code, format!("{} has no field `{}`", self.place, name.escape_debug()))
                            .at(key.span(), format!("the fields are {}", list(names.clone())));
                    errors.push(self.pointing_at_type(unknown).suggest(closest(name, names)));
                }
            }
        }
        let missing: Vec<_> = fields
            .iter()
            .filter(|field| field.is_required() && !entries.contains_key(field.name.as_str()))
            .map(|field| field.name.as_str())
            .collect();
        if !missing.is_empty() {
            let verb = if missing.len() == 1 { "is" } else { "are" };
            errors.push(self.wrong(node, format!("{} {verb} missing", list(missing))));
        }
        values
    }

    fn wrong(&self, node: Node<'_>, label: String) -> Diagnostic {
        let error = Diagnostic::new(self.code, format!("{} does not fit its type", self.place)).at(node.span(), label);
        self.pointing_at_type(error)
    }

    fn pointing_at_type(&self, error: Diagnostic) -> Diagnostic {
        match &self.declared {
            Some(span) => error.related(span.clone(), "declared here"),
            None => error,
        }
    }
}

/// A kind in words.
fn described(kind: &Kind) -> String {
    match kind {
        Kind::String | Kind::Path | Kind::Enum(_) => "a string".to_owned(),
        Kind::Integer => "an integer".to_owned(),
        Kind::Float => "a float".to_owned(),
        Kind::Boolean => "a boolean".to_owned(),
        Kind::Bytes => "a string of base64".to_owned(),
        Kind::Duration => "a duration such as \"250ms\"".to_owned(),
        Kind::Size => "a size such as \"16MiB\"".to_owned(),
        Kind::Datetime => "a point in time such as 2026-01-31T12:00:00Z".to_owned(),
        Kind::List(item) => format!("an array of type `[{item}]`"),
        Kind::Map(_) | Kind::Table(_) | Kind::Named(_) => "a table".to_owned(),
    }
}

fn integer(node: Node<'_>) -> Result<i64, String> {
    let DeValue::Integer(integer) = node.get_ref() else { return Err("expected an integer".to_owned()) };
    i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "does not fit into 64 bits, signed".to_owned())
}

/// The float of the same value, if there is one: beyond 2^53 most integers have none.
fn exact_float(integer: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line checks that nothing was lost")]
    let float = integer as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates, so i128 holds it")]
    (float as i128 == i128::from(integer)).then_some(float)
}
