//! The configuration of a host and of its modules: the file of `--config`, and what the command line sets. `ixt run`
//! finds the mistakes before anything is built, and reports them at once, with their lines and without secrets; only
//! names of features and programs are checked later, by the build. Values of modules' keys are checked by
//! `ixt_host::Config`.
//!
//! - `host_file` is the file, which it reads with `document`: that knows where each key is; `values` are the file's
//!   durations, sizes and host names;
//! - `module_config` makes the configuration of one module, with `set_key`; `check` does that for all modules of
//!   `ixt run`, before the start. A reload, `ixt call --module` and `ixt conformance` do it for one;
//! - `mistakes` collects what is wrong.

mod check;
mod document;
mod host_file;
mod mistakes;
mod module_config;
mod set_key;
mod values;

pub(crate) use check::check;
pub(crate) use host_file::{HostFile, ModuleTable};
pub(crate) use module_config::{ConfigSources, config_of_one};
pub(crate) use values::HttpName;
