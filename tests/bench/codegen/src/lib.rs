//! What the comparisons of code generators share: the interface that they generate code for.

pub mod interface;
