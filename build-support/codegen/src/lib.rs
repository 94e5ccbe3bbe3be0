//! Turns the `manifest.toml` of an IXT module into typed Rust code, from the module crate's `build.rs`:
//!
//! ```no_run
//! // build.rs
//! # #[allow(clippy::needless_doctest_main)]
//! fn main() {
//!     ixt_build::compile("manifest.toml");
//! }
//! ```
//!
//! The crate includes what this writes with `ixt_sdk::include_module!()`, and gets
//!
//! - `Config`: a field for each key of `[config]`, with the manifest's defaults and bounds;
//! - `Topic`: a variant for each service of `[provides]`;
//! - a struct or an enum for each type of `[types]` and for what is written in place, and an enum of each service's errors;
//! - `Handler`: the trait that the author implements, with one method for each service and each required event;
//! - `client` and `publish`: functions that call the required services and publish the provided events;
//! - `run` and `run_async`: the module's entry point.
//!
//! A mistake in the manifest ends the build and points at the line; what is suspicious is a warning. The generated code
//! depends on the manifest, and on those that it names, alone: the same manifest gives the same bytes, in any directory and
//! whatever the order of its keys.
//!
//! [`Builder`] has options, [`assert_fresh`] is for code that is checked in, and [`generate`] is all of it as a function
//! from text to text, for tools. The manifest language itself is described beside the crate `ixt-manifest`.

mod build_script;
mod client;
mod config;
mod default_values;
mod doc_comments;
mod fresh;
mod generate;
mod handler;
mod items;
mod names;
mod options;
mod record;
mod rust_code;
mod scalar_types;
mod text_enum;
mod topic;
mod type_graph;
mod types;
mod union;

pub use build_script::{Builder, compile};
pub use fresh::{assert_fresh, diff};
pub use generate::{Generated, generate};
pub use ixt_manifest::{Code, Diagnostic, Place, Report, Severity, Source};
pub use options::Options;
