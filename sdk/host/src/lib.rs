//! The host's end of IXT: runs modules, supervises them, and connects them: a message bus, a store of keys and values, and a
//! log.
//!
//! - [`Module`] is a directory with a manifest, and either a cargo package or what `[artifacts.process]` names;
//!   [`Module::program`] is what to start, [`Builds`] the same for several modules.
//! - [`Config`] is what the manifest declares, with its defaults; what is set is checked against the declared types.
//! - [`Host`] runs modules. Each process is in a process group of its own, and when the `Host` is gone, so is the group.
//! - [`bus`] and [`kv`] are what modules share, each a trait with a backend that needs nothing to be installed; [`logs`] is
//!   what they and the host have to say.
//!
//! The [guide] says what a host does, and how to embed one; [security], what is kept apart, and what is not.

#[doc = include_str!("../HOST.md")]
pub mod guide {}

#[doc = include_str!("../SECURITY.md")]
pub mod security {}

mod budget;
pub mod bus;
mod call_error;
mod call_log;
mod cargo;
mod cgroup;
mod checked;
mod config;
mod connection;
pub mod connection_limit;
pub mod control;
mod descent;
mod environment;
mod file_limit;
pub mod guard;
mod host;
mod instance;
mod kept;
pub mod kv;
mod lock;
pub mod logs;
mod machine;

pub mod metrics;
mod module;
mod module_router;
mod order;
mod process;
mod program;
mod reaper;
mod release;
mod remains;
mod replica;
mod restart;
mod rights;
mod services;
mod settings;
mod socket;
mod stamp;
mod standstill;
mod stats;
mod status;
mod supervisor;
mod topic;
mod trace;

pub use call_error::{CallError, ErrorReply};
pub use cargo::{Build, BuildError, BuildOutput, Builds};
pub use config::{Config, ConfigError};
pub use host::{CallOptions, Host, HostBuilder, HostError};
pub use instance::{StartError, StartErrorKind};
pub use ixt_manifest::text;
pub use ixt_protocol::{LogLevel, Object, Priority};
pub use module::Module;
pub use program::{Program, ProgramError};
pub use release::Deployment;
pub use restart::{Loader, Loading, Notice};
pub use settings::{Restart, Settings};
pub use stats::{DURATION_BOUNDS, TopicStats};
pub use status::{InstanceStatus, ModuleStatus, State};
#[cfg(feature = "otel")]
pub use trace::SpanOptions;
