//! The commands about manifests: `ixt check`, `generate`, `diff`, `docs` and `schema`. They start nothing and need no host. Each has a
//! file. `paths` finds the manifests that a path of `check` or `generate` stands for, `json` prints for `--json`, which `check` and
//! `diff` take and the others ignore.
//!
//! What a command makes (code without `--out`, pages, the schema, the changes of `diff`) goes to stdout. Mistakes go to stderr as text,
//! and so do the warnings of `check` and `generate`, and the diff of `generate --check`. With `--json`, the mistakes and warnings of
//! `check` go to stdout as JSON instead, and the changes of `diff` are JSON; mistakes in its manifests stay text on stderr.

pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod docs;
pub(crate) mod generate;
mod json;
mod paths;
pub(crate) mod schema;
