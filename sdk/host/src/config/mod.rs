//! The configuration that a module is started with: the manifest's defaults, and what was set instead.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use ixt_manifest::{Field, JsonForm, Kind, Manifest, Scalar, Shape, Type, Value as Default};
use ixt_protocol::encode_base64;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::config::check::ValueChecker;

/// The configuration of one module.
///
/// Whatever is set is checked against the manifest, and no error shows a value: it may be secret.
#[derive(Clone)]
pub struct Config<'a> {
    manifest: &'a Manifest,
    values: Map<String, Value>,
}

/// Why a configuration can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The manifest declares no such key.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that it declares.
        known: Vec<String>,
    },
    /// The value is not of the declared type.
    WrongType {
        /// The key.
        key: String,
        /// What the manifest declares, and what is wrong with the value.
        expected: String,
    },
    /// Keys without a default were not set.
    Missing {
        /// The keys.
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
    /// The defaults of a manifest.
    #[must_use]
    pub fn of(manifest: &'a Manifest) -> Self {
        let keys = manifest.config.iter();
        let defaults = keys.filter_map(|key| Some((key.name.to_string(), json(key.default.as_ref()?))));
        Self { manifest, values: defaults.collect() }
    }

    /// Sets a key from text, as it stands on a command line or in an environment variable: what is text in JSON as it is
    /// (`bytes` in base64), anything else as JSON.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the text is not of its type.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        let value = match self.kind(ty) {
            Kind::Enum(_) => Value::from(text),
            Kind::Scalar(scalar) if matches!(scalar.json_form(), JsonForm::Text | JsonForm::TextOrNumber) => {
                Value::from(text)
            }
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        self.set(key, ty, value)
    }

    /// Sets a key from the content of a file: `bytes` as they are, anything else as text, without the line end that
    /// editors leave at the end of a file.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the content is not of its type.
    pub fn set_content(&mut self, key: &str, content: &[u8]) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        if *self.kind(ty) == Kind::Scalar(Scalar::Bytes) {
            return self.set(key, ty, Value::from(encode_base64(content)));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong_type(key, ty, "text in UTF-8"))?;
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        self.set_text(key, text)
    }

    /// Sets a key from JSON, as it stands in `init`.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the value is not of its type.
    pub fn set_json(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        self.set(key, ty, value)
    }

    /// The manifest that declares it.
    #[must_use]
    pub fn manifest(&self) -> &'a Manifest {
        self.manifest
    }

    /// Whether the manifest declares this key.
    #[must_use]
    pub fn is_declared(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key)
    }

    /// Whether the manifest declares this key, or something within it, secret.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key && has_secret(declared))
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

    /// What the values of a type are, behind the newtypes.
    fn kind(&self, ty: &'a Type) -> &'a Kind {
        let Kind::Named(name) = &ty.kind else { return &ty.kind };
        match self.manifest.find_type(name).map(|definition| &definition.shape) {
            Some(Shape::Newtype(inner)) => self.kind(inner),
            // An enum is text, as is this.
            Some(Shape::Enum { .. }) => &Kind::Scalar(Scalar::String),
            _ => &ty.kind,
        }
    }

    fn set(&mut self, key: &str, ty: &Type, value: Value) -> Result<(), ConfigError> {
        ValueChecker { manifest: self.manifest }
            .check(&value, ty)
            .map_err(|expected| wrong_type(key, ty, &expected))?;
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// Whether the configuration is complete. [`HostBuilder::module`](crate::HostBuilder::module) checks that too.
    ///
    /// # Errors
    ///
    /// If a key that has no default was not set.
    pub fn check(&self) -> Result<(), ConfigError> {
        let missing = |key: &&Field| key.is_required() && !self.values.contains_key(key.name.as_str());
        let missing: Vec<_> = self.manifest.config.iter().filter(missing).map(|key| key.name.to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing { keys: missing }) }
    }

    /// The object for `init`. Whoever prints it shows its secrets.
    ///
    /// # Errors
    ///
    /// If a key that has no default was not set.
    #[expect(clippy::missing_panics_doc, reason = "a map of JSON values is JSON")]
    pub fn to_json(&self) -> Result<Box<RawValue>, ConfigError> {
        self.check()?;
        Ok(to_raw_value(&self.values).expect("a map of JSON values is JSON"))
    }
}

/// Types of one's own hold no secrets: the language has them in the configuration alone.
fn has_secret(field: &Field) -> bool {
    fn within(kind: &Kind) -> bool {
        match kind {
            Kind::Table(fields) => fields.iter().any(has_secret),
            Kind::List(item) | Kind::Map(item) => within(&item.kind),
            _ => false,
        }
    }
    field.secret || within(&field.ty.kind)
}

fn wrong_type(key: &str, ty: &Type, expected: &str) -> ConfigError {
    ConfigError::WrongType { key: key.to_owned(), expected: format!("{expected} (its type is `{ty}`)") }
}

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
