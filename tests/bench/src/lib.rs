//! What all benchmarks share: contestants take turns ([`measure`]), processes are started, watched and ended ([`process`]), instructions
//! are counted ([`callgrind`]), and packages are built with cargo ([`project`]).

pub mod callgrind;
pub mod measure;
pub mod process;
pub mod project;
