//! The commands about manifests, which start nothing and need no host: `ixt check`, `generate`, `diff`, `docs` and
//! `schema`. Each has a file. `paths` finds the manifests that a path stands for; `json` prints diagnostics for
//! `--json`, which `check` and `diff` take and the others ignore. Code, pages and JSON go to stdout, reports of
//! mistakes to stderr.

pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod docs;
pub(crate) mod generate;
mod json;
mod paths;
pub(crate) mod schema;
