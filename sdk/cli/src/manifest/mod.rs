//! The commands about manifests: `ixt check`, `generate`, `diff`, `docs` and `schema`. They start nothing and need no host. Each has a file. `paths` finds the manifests that a path of `check` or `generate` stands for; `json` prints diagnostics for `--json`, which `check`
//! and `diff` take and the others ignore. What a command makes (code without `--out`, pages, the schema, the changes of `diff`) goes to
//! stdout, and mistakes and warnings go to stderr as text, as does the diff of `generate --check`. With `--json`, those that `check` finds go to stdout as JSON instead.

pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod docs;
pub(crate) mod generate;
mod json;
mod paths;
pub(crate) mod schema;
