//! The configuration that a module is started with: the manifest's defaults, and what was set instead.

use std::fmt;

use ixt_manifest::{ConfigKey, Manifest, Type, Value as Default};
use ixt_protocol::{decode_base64, encode_base64};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// The configuration of one module.
///
/// Whatever is set is checked against the manifest, and no error shows a value: it may be secret.
#[derive(Clone)]
pub struct Config<'a> {
    keys: &'a [ConfigKey],
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
        let keys = &manifest.config;
        let defaults = keys.iter().filter_map(|key| Some((key.name.to_string(), json(key.default.as_ref()?))));
        Self { keys, values: defaults.collect() }
    }

    /// Sets a key from text, as it stands on a command line or in an environment variable: a `string` as it is, `bytes`
    /// in base64, anything else as JSON.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the text is not of its type.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        let value = match required_type(ty) {
            Type::String | Type::Bytes => Value::from(text),
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
        if *required_type(ty) == Type::Bytes {
            return self.set(key, ty, Value::from(encode_base64(content)));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong_type(key, ty, "text in UTF-8"))?;
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        self.set_text(key, text)
    }

    fn type_of(&self, key: &str) -> Result<&'a Type, ConfigError> {
        self.keys.iter().find(|declared| declared.name.as_str() == key).map(|declared| &declared.ty).ok_or_else(|| {
            ConfigError::UnknownKey {
                key: key.to_owned(),
                known: self.keys.iter().map(|key| key.name.to_string()).collect(),
            }
        })
    }

    fn set(&mut self, key: &str, ty: &Type, value: Value) -> Result<(), ConfigError> {
        check(&value, ty).map_err(|expected| wrong_type(key, ty, expected))?;
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// Whether the configuration is complete. [`Instance::start`](crate::Instance::start) checks that too.
    ///
    /// # Errors
    ///
    /// If a key that has no default was not set.
    pub fn check(&self) -> Result<(), ConfigError> {
        let missing =
            |key: &&ConfigKey| !matches!(key.ty, Type::Optional(_)) && !self.values.contains_key(key.name.as_str());
        let missing: Vec<_> = self.keys.iter().filter(missing).map(|key| key.name.to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing { keys: missing }) }
    }

    /// The object for `init`.
    pub(crate) fn to_json(&self) -> Result<Box<RawValue>, ConfigError> {
        self.check()?;
        Ok(to_raw_value(&self.values).expect("a map of JSON values is JSON"))
    }
}

fn wrong_type(key: &str, ty: &Type, expected: &str) -> ConfigError {
    ConfigError::WrongType { key: key.to_owned(), expected: format!("{expected} (its type is `{ty}`)") }
}

fn required_type(ty: &Type) -> &Type {
    match ty {
        Type::Optional(inner) => inner,
        ty => ty,
    }
}

fn json(default: &Default) -> Value {
    match default {
        Default::String(text) => Value::from(text.as_str()),
        Default::Integer(integer) => Value::from(*integer),
        Default::Float(float) => Value::from(*float),
        Default::Boolean(boolean) => Value::from(*boolean),
        Default::Bytes(bytes) => Value::from(encode_base64(bytes)),
        Default::List(items) => items.iter().map(json).collect(),
    }
}

/// Whether a value is of a type; if not, what was expected.
fn check(value: &Value, ty: &Type) -> Result<(), &'static str> {
    let (fits, expected) = match ty {
        Type::String => (value.is_string(), "a string"),
        Type::Integer => (value.is_i64(), "an integer of at most 64 bits"),
        Type::Float => (value.is_number(), "a number"),
        Type::Boolean => (value.is_boolean(), "`true` or `false`"),
        Type::Bytes => (value.as_str().is_some_and(|text| decode_base64(text).is_ok()), "base64 text"),
        Type::List(item) => match value.as_array() {
            Some(items) => return items.iter().try_for_each(|value| check(value, item)),
            None => (false, "a JSON array"),
        },
        Type::Optional(inner) => return if value.is_null() { Ok(()) } else { check(value, inner) },
        // The manifest's check leaves none in [config].
        Type::Named(_) => (false, "another type"),
    };
    if fits { Ok(()) } else { Err(expected) }
}

#[cfg(test)]
mod tests {
    use ixt_manifest::Source;

    use super::*;

    const MANIFEST: &str = r#"
        schema_version = "3.0"
        [module]
        name = "m"
        version = "1.0.0"
        [config]
        url = { type = "string", default = "sqlite://x" }
        limit = { type = "integer", default = 7 }
        ratio = { type = "float", default = 1 }
        on = { type = "boolean", default = true }
        key = { type = "bytes" }
        tags = { type = "[string]", default = ["a"] }
        note = { type = "string?" }
    "#;

    fn with(set: impl FnOnce(&mut Config<'_>) -> Result<(), ConfigError>) -> Result<Value, ConfigError> {
        let manifest = Manifest::parse(&Source::new("manifest.toml", MANIFEST)).unwrap();
        let mut config = Config::of(&manifest);
        set(&mut config)?;
        config.to_json().map(|json| serde_json::from_str(json.get()).unwrap())
    }

    #[test]
    fn defaults_and_what_was_set_make_the_object() {
        let object = with(|config| {
            config.set_text("url", "5")?;
            config.set_text("limit", "9")?;
            config.set_content("key", b"\x00\n")?;
            config.set_content("note", b"hunter2\r\n")?;
            config.set_text("tags", r#"["x", "y"]"#)
        })
        .unwrap();
        let expected = serde_json::json!({
            "url": "5", "limit": 9, "ratio": 1.0, "on": true, "key": "AAo=", "tags": ["x", "y"], "note": "hunter2",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_and_not_shown() {
        for (key, text) in [
            ("limit", "s3cret"),
            ("limit", "9.5"),
            ("on", "yes"),
            ("key", "s3cret!"),
            ("tags", "[1]"),
            ("ratio", "s3cret"),
        ] {
            let error = with(|config| config.set_text(key, text)).unwrap_err();
            assert!(matches!(&error, ConfigError::WrongType { key: named, .. } if named == key), "{error}");
            assert!(!error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_key_without_default_has_to_be_set() {
        assert_eq!(with(|_| Ok(())).unwrap_err(), ConfigError::Missing { keys: vec!["key".to_owned()] });
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = with(|config| config.set_text("limits", "1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no config key `limits`: the manifest declares `key`, `limit`, `note`, `on`, `ratio`, `tags`, `url`"
        );
    }
}
