//! The processes that a host has started and their descendants: from which process another one descends (`ancestry`),
//! how all of them are found and killed (`descendants`, `cgroup`, `group`), and how they are reaped (`reaper`). A
//! process of a module, with its limits and its output, is in `supervisor/process.rs`.

pub(crate) mod ancestry;
pub(crate) mod cgroup;
pub(crate) mod descendants;
pub(crate) mod group;
pub(crate) mod reaper;
