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

mod answer;
mod budget;
mod build;
pub mod bus;
mod call_log;
mod config;
mod connection;
pub mod control;
mod control_lock;
pub mod guard;
mod host;
mod host_resources;
pub mod kv;
pub mod listener;
mod lock;
pub mod logs;
mod managed;
pub mod metrics;
mod module;
mod permissions;
mod processes;
mod program;
mod release;
mod replica;
mod services;
mod settings;
mod socket;
mod standstill;
mod stats;
mod status;
mod supervisor;
mod topic;
mod trace;

pub use ixt_manifest::text;
pub use ixt_protocol::{LogLevel, Object, Priority};

pub use answer::{CallError, ErrorReply};
pub use build::{Build, BuildOutput, Builds};
pub use config::{Config, ConfigError};
pub use host::{CallOptions, Host, HostBuilder, HostError};
pub use module::Module;
pub use program::{BuildError, Program, ProgramError};
pub use release::{Deployment, LoadRequest, Loader, Loading, Notice};
pub use settings::{Restart, Settings};
pub use stats::{DURATION_BOUNDS, TopicStats};
pub use status::{InstanceStatus, ModuleStatus, State};
pub use supervisor::{StartError, StartErrorKind};
#[cfg(feature = "otel")]
pub use trace::SpanOptions;
