//! What the comparisons of code generators share.

pub mod interface;
