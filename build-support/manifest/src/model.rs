//! A manifest that has passed the checks: what the code generator and the host work from. All lists are sorted by
//! name, so that the order of a manifest's keys changes nothing downstream.

use std::fmt;

use crate::{Span, Value};

/// A module as its manifest declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[module]`.
    pub module: ModuleInfo,
    /// `[provides] services` with what `[services."topic"]` says about each.
    pub services: Vec<Service>,
    /// `[config]`.
    pub config: Vec<ConfigKey>,
    /// `[types]`.
    pub types: Vec<TypeDefinition>,
}

/// `[module]`: what the module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The module's name, the first part of its id `name:version/instance-NNN`.
    pub name: Name,
    /// The module's version, the second part of its id.
    pub version: String,
    /// One sentence about it.
    pub description: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// The licence it is under.
    pub license: Option<String>,
    /// Where it can run; empty if the manifest does not say.
    pub runtime_targets: Vec<String>,
}

/// One service of `[provides] services`.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The topic under which it is called, such as `orders.place`.
    pub topic: Name,
    /// What it does.
    pub description: Option<String>,
    /// What it takes; raw bytes where nothing is declared.
    pub request: Option<Message>,
    /// What it answers; any JSON object where nothing is declared.
    pub response: Option<Message>,
}

/// The declared request or response of a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A record of `[types]`, by name.
    Named(Name),
    /// Fields written where the message is declared.
    Inline(Record),
}

/// One key of `[config]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigKey {
    /// The key.
    pub name: Name,
    /// Its type; never one of `[types]`.
    pub ty: Type,
    /// Its value where the host gives none. A key with neither a default nor an optional type is required.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
}

/// One type of `[types]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeDefinition {
    /// The name by which other types and services refer to it.
    pub name: Name,
    /// Its fields.
    pub record: Record,
}

/// An object with named fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The fields, sorted by name.
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The field's key in the JSON object.
    pub name: Name,
    /// The type of its value.
    pub ty: Type,
    /// What it is.
    pub description: Option<String>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `"string"`: UTF-8 text.
    String,
    /// `"integer"`: 64 bits, signed, as in TOML.
    Integer,
    /// `"float"`: 64 bits, finite.
    Float,
    /// `"boolean"`.
    Boolean,
    /// `"bytes"`: base64 text in JSON and in the manifest.
    Bytes,
    /// `"[T]"`: any number of `T`.
    List(Box<Type>),
    /// `"T?"`: a `T` or nothing; left out of the JSON object when there is none.
    Optional(Box<Type>),
    /// A type of `[types]`, by its name.
    Named(String),
}

/// Writes a type as a manifest does.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Integer => f.write_str("integer"),
            Self::Float => f.write_str("float"),
            Self::Boolean => f.write_str("boolean"),
            Self::Bytes => f.write_str("bytes"),
            Self::List(item) => write!(f, "[{item}]"),
            Self::Optional(inner) => write!(f, "{inner}?"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// A name from the manifest and where it stands there, so that later stages can point at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    span: Span,
}

impl Name {
    pub(crate) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is written.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
