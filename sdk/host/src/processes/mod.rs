//! The processes that a host has started, and those that these have started: found, signalled, limited and reaped.

pub(crate) mod ancestry;
pub(crate) mod cgroup;
pub(crate) mod descendants;
pub(crate) mod group;
pub(crate) mod reaper;
