//! The processes that a host has started and their descendants: from which process another one descends (`ancestry`),
//! how all of them are found and killed (`descendants`, `cgroup`, `group`), and how they are reaped (`reaper`). These
//! files know nothing of modules: a module's process is in `supervisor/process.rs`.

pub(crate) mod ancestry;
pub(crate) mod cgroup;
pub(crate) mod descendants;
pub(crate) mod group;
pub(crate) mod reaper;
