//! The commands that need manifests alone, and start nothing: `ixt check`, `generate`, `diff`, `docs` and `schema`.

pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod docs;
pub(crate) mod generate;
mod json;
mod paths;
pub(crate) mod schema;
