//! What the benchmarks share.

pub mod interface;
pub mod measure;
pub mod project;
