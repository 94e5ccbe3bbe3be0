//! The model: a manifest that has passed all checks. The code generator, the command and the host work from it.
//!
//! - this file: [`Manifest`], `[module]` and `[requires]`
//! - `topics`: provided services and events
//! - `types`: fields, the types of their values and of messages, and the types of `[types]`
//! - `scalar`: the built-in types without parts, with everything that depends on the type alone
//! - `bounds`: `min`, `max`, `pattern` and so on, and the check of a value against them
//! - `value`: a default or a bound, typed
//! - `process`: `[artifacts.process]`, `[limits]` and `[env]`
//! - `name`: a text with its place in the manifest
//!
//! Lists are sorted by name, so the order of keys in a manifest has no effect. Where the manifest has an array whose order
//! means something, such as the values of an enum, that order is kept.

mod bounds;
mod name;
mod process;
mod scalar;
mod topics;
mod types;
mod value;

pub use bounds::{Bound, Bounds};
pub use name::Name;
pub use process::{Env, ProcessInfo, ProcessLimits, Variable};
pub use scalar::{JsonForm, Scalar};
pub use topics::{ErrorCode, ProvidedEvent, ProvidedService};
pub use types::{Case, Deprecated, EnumValue, Field, MessageType, Shape, Type, TypeDefinition, TypeKind};
pub use value::Value;

use crate::diagnostic::Report;

/// A module as its manifest declares it. [`Manifest::parse`] is the only way to get one.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[module]`.
    pub module: ModuleInfo,
    /// The topics of `[provides] services`, each with what `[services."topic"]` says about it. Sorted by topic.
    pub services: Vec<ProvidedService>,
    /// The topics of `[provides] events`, each with what `[events."topic"]` says about it. Sorted by topic.
    pub events: Vec<ProvidedEvent>,
    /// `[requires]`.
    pub requires: Requires,
    /// The keys of `[config]`, sorted by name.
    pub config: Vec<Field>,
    /// The types of `[types]`, sorted by name.
    pub types: Vec<TypeDefinition>,
    /// `[artifacts.process]`.
    pub process: ProcessInfo,
    /// `[limits]`.
    pub limits: ProcessLimits,
    /// `[env]`.
    pub env: Env,
    /// Warnings: what is valid but suspicious, such as a type that is not used. Contains no errors.
    pub warnings: Report,
}

impl Manifest {
    /// The type with this name in `[types]`. `None` if `[types]` does not declare it; built-in types are not found here.
    #[must_use]
    pub fn find_type(&self, name: &str) -> Option<&TypeDefinition> {
        let index = self.types.binary_search_by(|definition| definition.name.as_str().cmp(name)).ok()?;
        Some(&self.types[index])
    }
}

/// `[module]`: the identity of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The module's name, the first part of the id of its processes, `name:version/instance-NNN`. At least one character; ASCII
    /// letters, digits, `.`, `_`, `-` and `+`.
    pub name: Name,
    /// The module's version, the second part of that id. A semantic version, such as `1.0.0`.
    pub version: Name,
    /// What the module does: any text. `None`, here and in the next two, if the manifest does not say.
    pub description: Option<String>,
    /// Who wrote the module: any text.
    pub author: Option<String>,
    /// The module's licence: any text.
    pub license: Option<String>,
    /// The runtimes that the module is made for, in the order and the spelling of the manifest: ASCII letters, digits, `_` and `-`. Of
    /// names that differ only in case, the first. Empty if the manifest does not say. A list without `Process` is a warning.
    pub runtime_targets: Vec<String>,
}

/// `[requires]`: what the module uses of other modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requires {
    /// Whether the manifest has this table. If it does, the host refuses calls to services that are not in `services`; if not,
    /// the module may call any service.
    pub declared: bool,
    /// The topics of the services that the module calls, sorted.
    pub services: Vec<Name>,
    /// The topics of the events that the module handles, sorted.
    pub events: Vec<Name>,
    /// `[requires.from]`: where these services and events are declared. Sorted by name.
    pub from: Vec<ImportEntry>,
}

/// An entry of `[requires.from]`. Whether it fits the manifest at `path` is checked by [`Imports`](crate::Imports).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// A required topic, or the name of a module that provides required topics.
    pub name: Name,
    /// The path of the manifest that declares them, as written: relative to the directory of this manifest.
    pub path: Name,
}
