//! Values that a manifest holds, checked against the type that they are declared with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Spanned;
use toml::de::DeValue;

use crate::table::expected;
use crate::{Diagnostic, Type};

/// A default from the manifest. Its shape follows the type it was checked against.
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
    /// Of a list type.
    List(Vec<Value>),
}

impl Value {
    /// Reads `value` as a `ty`, or says why it is none. `place` is how messages call it.
    pub(crate) fn read(value: &Spanned<DeValue<'_>>, ty: &Type, place: &str) -> Result<Self, Diagnostic> {
        let wrong = |label: String| Diagnostic::new(format!("{place} must be {}", article(ty))).at(value.span(), label);
        Ok(match (ty, value.get_ref()) {
            (Type::String, DeValue::String(text)) => Self::String(text.to_string()),
            (Type::Boolean, DeValue::Boolean(value)) => Self::Boolean(*value),
            (Type::Integer, DeValue::Integer(integer)) => {
                let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
                Self::Integer(parsed.map_err(|_| wrong("does not fit into 64 bits, signed".to_owned()))?)
            }
            (Type::Float, DeValue::Float(float)) => match float.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Self::Float(float),
                _ => return Err(wrong("expected a finite number: JSON has no other".to_owned())),
            },
            (Type::Float, DeValue::Integer(integer)) => {
                let parsed = i64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(exact_float);
                Self::Float(parsed.ok_or_else(|| wrong("is no exact float; write it with a decimal point".to_owned()))?)
            }
            (Type::Bytes, DeValue::String(text)) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => Self::Bytes(bytes),
                Err(error) => return Err(wrong(format!("expected base64 text: {error}"))),
            },
            (Type::List(item), DeValue::Array(items)) => {
                Self::List(items.iter().map(|value| Self::read(value, item, place)).collect::<Result<_, _>>()?)
            }
            (Type::Optional(inner), _) => return Self::read(value, inner, place),
            _ => return Err(wrong(expected(&article(ty), value))),
        })
    }
}

fn article(ty: &Type) -> String {
    match ty {
        Type::String => "a string".to_owned(),
        Type::Integer => "an integer".to_owned(),
        Type::Float => "a float".to_owned(),
        Type::Boolean => "a boolean".to_owned(),
        Type::Bytes => "a string of base64".to_owned(),
        Type::List(item) => format!("an array of type `[{item}]`"),
        Type::Optional(inner) => article(inner),
        Type::Named(name) => format!("of type `{name}`"),
    }
}

/// The float of the same value, if there is one: beyond 2^53 most integers have none.
fn exact_float(integer: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line checks that nothing was lost")]
    let float = integer as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates, so i128 holds it")]
    (float as i128 == i128::from(integer)).then_some(float)
}
