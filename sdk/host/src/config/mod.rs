//! The configuration with which a module is started: the manifest's defaults, and the values that were set. `check`
//! checks a value against its type.
//!
//! An embedder, such as `ixt run`, makes a [`Config`] for each [`Deployment`](crate::Deployment), which keeps it as
//! JSON.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use ixt_manifest::{Field, JsonForm, Manifest, Scalar, Shape, Type, TypeKind, Value as Default};
use ixt_protocol::encode_base64;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::config::check::ValueChecker;

/// The configuration of one module: a JSON value for each key that has one. Each value is checked against the manifest
/// when it is set. No error message contains a value, since it may be a secret; but the names of keys and fields, and
/// the keys of a map, may be in it.
#[derive(Clone)]
pub struct Config<'a> {
    manifest: &'a Manifest,
    /// The value of each key that is set or has a default.
    values: Map<String, Value>,
}

/// Why a value or a configuration is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The manifest declares no such key.
    UnknownKey {
        /// The key.
        key: String,
        /// All keys that it declares, sorted. Empty if it declares none.
        known: Vec<String>,
    },
    /// The value is not of the declared type.
    WrongType {
        /// The key of the configuration; a field within it is named in `expected`.
        key: String,
        /// What was expected, and the declared type of the key, such as "at least 1 (its type is `integer`)". Does not
        /// contain the value.
        expected: String,
    },
    /// Required keys are not set. A key is required if it has no default and is not optional.
    Missing {
        /// All required keys that are not set, sorted; at least one.
        keys: Vec<String>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, known } if known.is_empty() => {
                write!(f, "there is no config key `{key}`: the manifest declares none")
            }
            Self::UnknownKey { key, known } => {
                write!(f, "there is no config key `{key}`: the manifest declares `{}`", known.join("`, `"))
            }
            Self::WrongType { key, expected } => write!(f, "the config key `{key}` needs {expected}"),
            Self::Missing { keys } => {
                write!(f, "no value for the config key `{}`, which has no default", keys.join("`, `"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl<'a> Config<'a> {
    /// A configuration of the manifest's defaults. Keys without a default are not set.
    #[must_use]
    pub fn of(manifest: &'a Manifest) -> Self {
        let keys = manifest.config.iter();
        let defaults = keys.filter_map(|key| Some((key.name.to_string(), json(key.default.as_ref()?))));
        Self { manifest, values: defaults.collect() }
    }

    /// Sets a key from text, as on a command line or in an environment variable. For types whose values are text in
    /// JSON (`bytes` are base64), and for `size`, the text is the value, without quotes; so an optional key of such a
    /// type can't be set to `null` by it. For other types the text is parsed as JSON. White space around the text of
    /// the first kinds is a part of the value. Replaces the default or an earlier value.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownKey`], or [`ConfigError::WrongType`] if the text is not a value of the key's type. Then
    /// nothing has changed.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        let value = match self.kind(ty) {
            TypeKind::Enum(_) => Value::from(text),
            TypeKind::Scalar(scalar) if matches!(scalar.json_form(), JsonForm::Text | JsonForm::TextOrNumber) => {
                Value::from(text)
            }
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        self.set(key, ty, value)
    }

    /// Sets a key from the content of a file. For the type `bytes` the whole content is the value, with its line ends;
    /// for others it must be UTF-8, and is used as by [`set_text`](Self::set_text), without one line end (`\n` or
    /// `\r\n`) at its end.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownKey`], or [`ConfigError::WrongType`] if the content is not UTF-8, or not a value of the
    /// key's type. Then nothing has changed.
    pub fn set_content(&mut self, key: &str, content: &[u8]) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        if *self.kind(ty) == TypeKind::Scalar(Scalar::Bytes) {
            return self.set(key, ty, Value::from(encode_base64(content)));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong_type(key, ty, "text in UTF-8"))?;
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        self.set_text(key, text)
    }

    /// Sets a key to a JSON value, which the module gets as it is. Replaces the default or an earlier value. `null` is
    /// a value of an optional key alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownKey`], or [`ConfigError::WrongType`] if it is not a value of the key's type. Then nothing
    /// has changed.
    pub fn set_json(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        self.set(key, ty, value)
    }

    /// The manifest that declares the keys.
    #[must_use]
    pub fn manifest(&self) -> &'a Manifest {
        self.manifest
    }

    /// Whether the manifest declares this key.
    #[must_use]
    pub fn is_declared(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key)
    }

    /// Whether the manifest declares this key, or a field within it, as secret. `false` for a key that it does not
    /// declare.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key && declared.holds_secret())
    }

    fn type_of(&self, key: &str) -> Result<&'a Type, ConfigError> {
        let keys = &self.manifest.config;
        keys.iter().find(|declared| declared.name.as_str() == key).map(|declared| &declared.ty).ok_or_else(|| {
            ConfigError::UnknownKey {
                key: key.to_owned(),
                known: keys.iter().map(|key| key.name.to_string()).collect(),
            }
        })
    }

    /// The kind of a type's values. For a newtype it is that of the type within; for a named enum, that of a string.
    fn kind(&self, ty: &'a Type) -> &'a TypeKind {
        let TypeKind::Named(name) = &ty.kind else { return &ty.kind };
        match self.manifest.find_type(name).map(|definition| &definition.shape) {
            Some(Shape::Newtype(inner)) => self.kind(inner),
            // The values of an enum are text too.
            Some(Shape::Enum { .. }) => &TypeKind::Scalar(Scalar::String),
            _ => &ty.kind,
        }
    }

    /// Checks a value and sets the key, which is of type `ty`.
    fn set(&mut self, key: &str, ty: &Type, value: Value) -> Result<(), ConfigError> {
        ValueChecker { manifest: self.manifest }
            .check(&value, ty)
            .map_err(|expected| wrong_type(key, ty, &expected))?;
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// Checks that all required keys are set. [`Deployment::new`](crate::Deployment::new) does so too.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] with all required keys (no default, and not optional) that are not set.
    pub fn check(&self) -> Result<(), ConfigError> {
        let missing = |key: &&Field| key.is_required() && !self.values.contains_key(key.name.as_str());
        let missing: Vec<_> = self.manifest.config.iter().filter(missing).map(|key| key.name.to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing { keys: missing }) }
    }

    /// The configuration as the JSON object that the module gets in `init`. A key that is neither set nor has a default
    /// is left out. It may contain secrets: do not print it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`], as from [`check`](Self::check).
    #[expect(clippy::missing_panics_doc, reason = "a map of JSON values is JSON")]
    pub fn to_json(&self) -> Result<Box<RawValue>, ConfigError> {
        self.check()?;
        Ok(to_raw_value(&self.values).expect("a map of JSON values is JSON"))
    }
}

fn wrong_type(key: &str, ty: &Type, expected: &str) -> ConfigError {
    ConfigError::WrongType { key: key.to_owned(), expected: format!("{expected} (its type is `{ty}`)") }
}

/// Converts a default of the manifest to a JSON value, in the form in which the module reads it.
fn json(default: &Default) -> Value {
    let object = |values: &BTreeMap<String, Default>| -> Map<String, Value> {
        values.iter().map(|(key, value)| (key.clone(), json(value))).collect()
    };
    match default {
        Default::String(text) | Default::Path(text) | Default::Datetime(text) | Default::Enum(text) => {
            Value::from(text.as_str())
        }
        Default::Integer(integer) => Value::from(*integer),
        Default::Float(float) => Value::from(*float),
        Default::Boolean(boolean) => Value::from(*boolean),
        Default::Bytes(bytes) => Value::from(encode_base64(bytes)),
        Default::Duration(duration) => Value::from(humantime::format_duration(*duration).to_string()),
        Default::Size(size) => Value::from(*size),
        Default::List(items) => items.iter().map(json).collect(),
        Default::Map(values) | Default::Record(values) => Value::Object(object(values)),
        Default::Union { case, fields } => {
            let mut object = object(fields);
            object.insert("type".to_owned(), Value::from(case.as_str()));
            Value::Object(object)
        }
    }
}
