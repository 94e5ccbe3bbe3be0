//! Reads the configuration that the host sends into the generated `Config`, and reports all its mistakes at once.
//!
//! Generated code takes every key, and builds the struct in one expression. If a key is wrong, or is required and missing, the mistake is
//! noted, its default, `None` or the default of its Rust type takes its place, and the struct is dropped at the end. If there is none of
//! these, no struct is built. That also compiles fast; a derived `Deserialize` with 2,000 fields does not.

use ixt_protocol::{InvalidJson, read_json};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::log::log_error;
use crate::types::mistakes::Mistakes;
use crate::types::record::unknown_key;
use crate::types::rules::Rules;
use crate::types::{Decode, Reading};

/// A key of the configuration as the manifest declares it, for tools that list or explain the keys: those of `KEYS` of the generated
/// `Config`. It is a key of `[config]` itself; the keys of a table in it have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigKey {
    name: &'static str,
    type_name: &'static str,
    description: Option<&'static str>,
    default: Option<&'static str>,
    required: bool,
    secret: bool,
    deprecated: Option<&'static str>,
}

impl ConfigKey {
    /// An optional key without a default; for generated code, which adds the rest by the methods below.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, type_name: &'static str) -> Self {
        Self { name, type_name, description: None, default: None, required: false, secret: false, deprecated: None }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_description(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn deprecated(mut self, instead: &'static str) -> Self {
        self.deprecated = Some(instead);
        self
    }

    /// The name of the key.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The type as the manifest can write it, without its limits: such as `integer`, a list `[string]`, a map `{integer}`, the name of a
    /// type of `[types]`, or `string?` if the key is optional. A table and an enum that are written in place are `table` and `enum`.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The description in the manifest; `None` if there is none.
    #[must_use]
    pub const fn description(&self) -> Option<&'static str> {
        self.description
    }

    /// The default as text in the form of a manifest: a string is in quotes, and a size may have another unit. Of `bytes` it is the length
    /// only, such as `5 bytes`. `None` if there is none, and for a secret or what holds one.
    #[must_use]
    pub const fn default(&self) -> Option<&'static str> {
        self.default
    }

    /// Whether the host must set the key: it is not optional and has no default. Without it, the module does not start.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// Whether its value must never be shown: the manifest says `secret = true` of the key. False for a table that has a secret in it.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.secret
    }

    /// The manifest's text on what to use instead, if the key is deprecated; empty if the manifest has no text. `None` if the key is not
    /// deprecated.
    #[must_use]
    pub const fn deprecation(&self) -> Option<&'static str> {
        self.deprecated
    }
}

/// The reader of the generated `Config`, which implements this.
pub trait FromConfig: Sized + 'static {
    /// The keys that the manifest declares, sorted by name.
    const KEYS: &'static [ConfigKey];

    /// Takes every key that the manifest declares; `keys` notes the mistakes. `None` if a required key is wrong or missing whose Rust type
    /// need not have a default: a secret, an enum, a table, or a type of `[types]`. `Some` does not mean that all is right: `keys` may have
    /// mistakes nevertheless.
    fn from_config(keys: &mut ConfigKeys) -> Option<Self>;
}

/// The keys that the host has sent and that were not taken yet, and the mistakes in those that were taken. To the methods, a key that is
/// `null` is absent. What is not taken at the end is an unknown key, even if it is `null`. Each key is taken once; a second time it is
/// absent.
#[derive(Debug, Default)]
pub struct ConfigKeys {
    given: Map<String, Value>,
    mistakes: Mistakes,
}

impl ConfigKeys {
    /// Takes a required key. If it is absent or wrong, notes the mistake and returns `None`.
    pub fn take<T: Decode>(&mut self, key: &'static str, rules: Rules) -> Option<T> {
        let value = self.given.remove(key);
        self.read(key, rules, value, |mistakes| mistakes.note(key, "required, but not given".to_owned()))
    }

    /// Takes a required key. If it is absent or wrong, notes the mistake and returns the default of the Rust type.
    pub fn required<T: Decode + Default>(&mut self, key: &'static str, rules: Rules) -> T {
        self.take(key, rules).unwrap_or_default()
    }

    /// Takes a key with a default. If it is absent, returns the default; if it is wrong, notes the mistake and returns the default.
    pub fn or<T: Decode>(&mut self, key: &'static str, rules: Rules, default: T) -> T {
        self.maybe(key, rules).unwrap_or(default)
    }

    /// Takes an optional key. `None` if it is absent; if it is wrong, notes the mistake and returns `None`.
    pub fn maybe<T: Decode>(&mut self, key: &'static str, rules: Rules) -> Option<T> {
        let value = self.given.remove(key);
        self.read(key, rules, value, |_| ())
    }

    /// Reads the value of a key. Calls `absent` if there is none, or if it is `null`. Notes the mistake if it is wrong. `None` in each of
    /// these cases.
    fn read<T: Decode>(
        &self,
        key: &'static str,
        rules: Rules,
        value: Option<Value>,
        absent: impl FnOnce(&Mistakes),
    ) -> Option<T> {
        // PROTOCOL.md: `null` is the same as absent.
        let Some(value) = value.filter(|value| !value.is_null()) else {
            absent(&self.mistakes);
            return None;
        };
        self.mistakes.at(key, || T::decode(&value, Reading::noting(rules, &self.mistakes)))
    }
}

/// Removes the wrong value from an error, since it may be a secret, and puts the Rust names of types into words.
fn without_value(invalid: InvalidJson) -> InvalidJson {
    let mut invalid = invalid.without_value();
    for (rust, plain) in [("expected i64", "expected an integer of 64 bits"), ("expected f64", "expected a number")] {
        if invalid.message == rust {
            plain.clone_into(&mut invalid.message);
        }
    }
    invalid
}

/// Reads the configuration from a JSON object. Logs each deprecated key that is in it, even as `null`, at the level `error`. The SDK calls
/// this before `Handler::init`; `Config::from_json` in generated code calls it too.
///
/// # Errors
///
/// `INVALID_INPUT`: if the text is not a JSON object, with that alone; otherwise with all mistakes. These are in the message, and in the
/// detail `mistakes`, a list of objects with `path` and `message`; unknown keys of `[config]` come last. Wrong values are not quoted.
pub fn read_config<C: FromConfig>(json: &str) -> Result<C> {
    let given = read_json::<Map<String, Value>>(json.as_bytes())
        .map_err(|invalid| Error::invalid_json("the configuration is not an object", &without_value(invalid)))?;
    for key in C::KEYS {
        if let Some(instead) = key.deprecated
            && given.contains_key(key.name)
        {
            let instead = if instead.is_empty() { String::new() } else { format!(": {instead}") };
            log_error(format!("the config key `{}` is deprecated{instead}", key.name));
        }
    }
    let mut keys = ConfigKeys { given, mistakes: Mistakes::default() };
    let config = C::from_config(&mut keys);
    let mut mistakes = keys.mistakes.into_all();
    mistakes.extend(keys.given.into_iter().map(|(key, _)| {
        let message = unknown_key(&key, C::KEYS.iter().map(|key| key.name));
        InvalidJson { path: key, message }
    }));
    match config {
        Some(config) if mistakes.is_empty() => return Ok(config),
        _ => {}
    }
    let mistakes: Vec<_> = mistakes.into_iter().map(without_value).collect();
    let message = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let details: Vec<_> =
        mistakes.iter().map(|mistake| json!({ "path": mistake.path, "message": mistake.message })).collect();
    Err(Error::invalid_input(format!("the configuration is wrong: {message}")).detail("mistakes", details))
}

/// The configuration of all defaults, as if the host sets no key: an optional key without a default is `None`. Generated code calls it only
/// if the manifest requires no key.
///
/// # Panics
///
/// If [`FromConfig::from_config`] returns `None`, as it does for some required keys.
#[must_use]
pub fn default_config<C: FromConfig>() -> C {
    C::from_config(&mut ConfigKeys::default()).expect("nothing in the configuration is required")
}
