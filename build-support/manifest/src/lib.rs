//! Reads the `manifest.toml` of an IXT module into a checked [`Manifest`], or into a [`Report`] of what is wrong with it and where.
//!
//! A manifest declares a module: its name, the services and events that it provides and requires, its configuration, and the
//! types of its messages. `ixt-build` generates the module's Rust code from it, and `ixt-host` starts the module's processes
//! from it. Both read it with this crate, which itself generates no code and starts nothing.
//!
//! ```
//! use ixt_manifest::{Manifest, Scalar, Source, TypeKind, Value};
//!
//! let source = Source::new("manifest.toml", r#"
//! schema_version = "3.0"
//!
//! [module]
//! name = "my-module"
//! version = "1.0.0"
//!
//! [provides]
//! services = ["my.service.process"]
//!
//! [config]
//! database_url = { type = "string", default = "sqlite:///data.db" }
//! "#);
//!
//! let manifest = Manifest::parse(&source).expect("this manifest is correct");
//! assert_eq!(manifest.services[0].topic.as_str(), "my.service.process");
//! assert_eq!(manifest.config[0].ty.kind, TypeKind::Scalar(Scalar::String));
//! assert_eq!(manifest.config[0].default, Some(Value::String("sqlite:///data.db".into())));
//! ```
//!
//! A report has all mistakes, not only the first; but mistakes in the TOML itself hide those in what the manifest says.
//! Displayed, it looks like rustc's errors:
//!
//! ```
//! use ixt_manifest::{Manifest, Source};
//!
//! let source = Source::new("manifest.toml", "schema_version = \"3.0\"\n[module]\nname = 5\nversion = \"1.0.0\"\n");
//! let report = Manifest::parse(&source).unwrap_err();
//! assert_eq!(report.to_string(), "\
//! error[wrong-kind]: `name` in [module] must be a string
//!  --> manifest.toml:3:8
//!   |
//! 3 | name = 5
//!   |        ^ expected a string, found an integer
//! ");
//! ```
//!
//! [`Imports`] reads the manifests of required modules, and [`compare`] reports what a change of a manifest breaks.
//! `REFERENCE.md` beside this crate describes the language; [`language`] has its tables and keys as data. [`text`] makes text
//! from outside harmless to a terminal, also for the code generator, the host and the command `ixt`.
//!
//! From the text to the model: `source_file` reads the text from a file, `read` turns it into the `model` by the tables in
//! `language`, and `check` checks what depends on several parts of it. Every mistake is a `diagnostic`.

mod check;
mod compare;
mod diagnostic;
mod duration;
mod import;
pub mod language;
mod model;
mod read;
mod source;
mod source_file;
mod suggest;
pub mod text;
mod wording;

pub use compare::compare;
pub use diagnostic::{ChangeRule, Code, Diagnostic, Place, Report, Severity};
pub use duration::parse_duration;
pub use import::{Import, Imports};
pub use model::{
    Bound, Bounds, Case, Deprecated, EnumValue, Env, ErrorCode, Field, ImportEntry, JsonForm, Manifest, MessageType,
    ModuleInfo, Name, ProcessInfo, ProcessLimits, ProvidedEvent, ProvidedService, Requires, Scalar, Shape, Type,
    TypeDefinition, TypeKind, Value, Variable,
};
pub use source::{Source, Span};
pub use suggest::closest;
