//! Reads the `manifest.toml` of an IXT module into a checked [`Manifest`], or says what is wrong with it and where.
//!
//! A manifest declares a module: what it is called, which services it provides, which configuration it takes and, if
//! its author likes, the types of its messages. The Rust code of a module is generated from it (by the crate
//! `ixt-build`), and the host starts the module from it (`ixt-host`); both read it through this crate, which knows
//! nothing of Rust code and nothing of processes.
//!
//! ```
//! use ixt_manifest::{Kind, Manifest, Source, Value};
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
//! assert_eq!(manifest.config[0].ty.kind, Kind::String);
//! assert_eq!(manifest.config[0].default, Some(Value::String("sqlite:///data.db".into())));
//! ```
//!
//! A manifest with mistakes gives a [`Report`] of all of them, drawn the way rustc draws its errors:
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
//! The language as a whole is described in `REFERENCE.md` beside this crate; [`language`] is the same as data. [`compare`]
//! tells what a change of a manifest breaks.

mod check;
mod compare;
mod diagnostic;
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
pub use diagnostic::{Code, Diagnostic, Place, Report, Rule, Severity};
pub use import::{Import, Imports};
pub use model::{
    Bound, Bounds, Case, Deprecated, EnumValue, Env, ErrorCode, Event, Field, From, JsonForm, Kind, Limits, Manifest,
    Message, ModuleInfo, Name, Process, Requires, Scalar, Service, Shape, Type, TypeDefinition, Value, Variable,
};
pub use source::{Source, Span};
pub use suggest::closest;
