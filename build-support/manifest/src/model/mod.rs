//! The model: a manifest after `read` and `check` have found no mistake in it. The code generator, the command `ixt` and the
//! host work from it.
//!
//! - this file: [`Manifest`], `[module]` and `[requires]`
//! - `topics`: provided services and events
//! - `types`: fields, the types of their values and of messages, and the types of `[types]`
//! - `scalar`: the built-in types without parts, and what each can have: bounds, a length, secrecy
//! - `bounds`: `min`, `max`, `pattern` and so on, and the check of a value against them
//! - `value`: a default or a bound, typed
//! - `process`: `[artifacts.process]`, `[limits]` and `[env]`
//! - `name`: a text with its place in the manifest
//!
//! Lists are sorted by name, so the order of keys in a manifest has no effect; no name is in a list twice. Four kinds of lists
//! have the order of the manifest's array: the values of an enum that is an array, the items of a default, the arguments of a
//! program, and `runtime_targets`. Warnings have the order of a `Report`.

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

/// A module as its manifest declares it. [`Manifest::parse`] makes one after all checks of this manifest by itself have
/// passed. The fields are public and are not checked again: code that changes one has to keep what the docs of the fields promise.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[module]`.
    pub module: ModuleInfo,
    /// The topics of `[provides] services`, each with what `[services."topic"]` says about it; one without such a table is in the
    /// list too, with everything at its default. Sorted by topic. Empty if the module provides no services.
    pub services: Vec<ProvidedService>,
    /// The topics of `[provides] events`, each with what `[events."topic"]` says about it; one without such a table is in the list
    /// too, with everything at its default. Sorted by topic. Empty if the module publishes no events.
    pub events: Vec<ProvidedEvent>,
    /// `[requires]`; the default of [`Requires`] if the manifest has no such table.
    pub requires: Requires,
    /// The keys of `[config]`, sorted by name. Empty if the module has no configuration.
    pub config: Vec<Field>,
    /// The types of `[types]`, sorted by name, also those that nothing uses. Types that are written in place are not here.
    pub types: Vec<TypeDefinition>,
    /// `[artifacts.process]`; the default of [`ProcessInfo`] if the manifest has no such table.
    pub process: ProcessInfo,
    /// `[limits]`; without limits if the manifest has no such table.
    pub limits: ProcessLimits,
    /// `[env]`; with empty lists if the manifest has no such table.
    pub env: Env,
    /// Warnings: what is valid but suspicious, such as a type that is not used. Contains no errors; empty if there is nothing. The
    /// warnings that need the manifests of `[requires.from]` are [`Imports::warnings`](crate::Imports::warnings).
    pub warnings: Report,
}

impl Manifest {
    /// The type with this name in `[types]`; upper and lower case differ. `None` if `[types]` does not declare it; built-in types
    /// are not found here. Relies on [`types`](Self::types) being sorted.
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
    /// What the module does: any text. `None` if the manifest has no description.
    pub description: Option<String>,
    /// Who wrote the module: any text. `None` if the manifest names no author.
    pub author: Option<String>,
    /// The module's licence: any text, which is not checked. `None` if the manifest names no licence.
    pub license: Option<String>,
    /// The runtimes that the module is made for, in the order and the spelling of the manifest: ASCII letters, digits, `_`
    /// and `-`, at least one character. The host ignores them. If names differ only in case, only the first is kept; the same
    /// text twice is an error. A list that is not empty and has no `Process`, in upper or lower case, is a warning. Empty if the
    /// manifest does not say.
    pub runtime_targets: Vec<String>,
}

/// `[requires]`: what the module uses of other modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requires {
    /// Whether the manifest has this table. If it does, the host answers the module's calls to services that are not in
    /// `services` with `PERMISSION_DENIED`; if not, the module may call any service.
    pub declared: bool,
    /// The topics of the services that the module calls, sorted; characters as in [`ProvidedService::topic`]. If no
    /// module provides one, the host only warns.
    pub services: Vec<Name>,
    /// The topics of the events that the module handles, sorted; characters as in [`ProvidedService::topic`]. The host sends it
    /// no other events, with or without this table.
    pub events: Vec<Name>,
    /// `[requires.from]`: the manifests that declare these services and events. Sorted by name. Empty if the manifest names
    /// none. The requests to, and the events of, a topic that none of them declares are bytes, and its responses any JSON object.
    pub from: Vec<ImportEntry>,
}

/// An entry of `[requires.from]`. [`Manifest::parse`] only checks that `path` is a string; the rest is checked by
/// [`Imports`](crate::Imports), which the host does not use. Several entries may have the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// A required topic, or the name of a module that provides required topics.
    pub name: Name,
    /// The path of the manifest that declares them, as written. A relative path starts at the directory of this manifest: see
    /// [`Source::resolve`](crate::Source::resolve). The file may be missing.
    pub path: Name,
}
