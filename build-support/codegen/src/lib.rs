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
//! - `Config`: a field for each key of `[config]`, with the manifest's defaults;
//! - `Topic`: a variant for each service of `[provides]`;
//! - a struct for each type of `[types]` and for each request or response written in place;
//! - `Handler`: the trait that the author implements, with one method for each service;
//! - `run` and `run_async`: the module's entry point.
//!
//! A mistake in the manifest ends the build and points at the line. The generated code depends on the manifest alone:
//! the same manifest gives the same bytes, in any directory and whatever the order of its keys.
//!
//! [`generate`] is the same as a pure function, for tools.

mod build_script;
mod client;
mod config;
mod docs;
mod fresh;
mod generate;
mod graph;
mod handler;
mod items;
mod names;
mod options;
mod record;
mod text_enum;
mod topic;
mod types;
mod union;
mod value;

pub use build_script::{Builder, compile};
pub use fresh::{assert_fresh, diff};
pub use generate::{Generated, generate};
pub use ixt_manifest::{Code, Diagnostic, Place, Report, Severity, Source};
pub use options::Options;
