//! The host side of IXT: starts the processes of modules, supervises them, and connects them by a message bus, a
//! key-value store and a log.
//!
//! - [`Module`] is a directory with a `manifest.toml`. [`Module::program`] builds or finds the program to start;
//!   [`Builds`] does so for several modules at once.
//! - [`Config`] holds a module's configuration: the manifest's defaults and the values that were set, checked against
//!   the declared types.
//! - [`Deployment`] is what a host runs: a module with its program, its configuration, and the number of its processes.
//! - [`Host`] runs deployments. Each process has its own process group; when the last handle of the `Host` is dropped,
//!   all of them are killed.
//! - [`bus`] has the trait of a message bus and [`kv`] that of a key-value store, each with a built-in backend that
//!   needs no server; [`logs`] is the log of the modules and the host.
//! - [`control`] is the Unix socket by which other programs talk to a running host, [`metrics`] are its figures for
//!   Prometheus, and [`guard`] is the process that ends the modules if the host is killed.
//!
//! The [guide] describes how a host behaves and how to embed one; [security] describes which boundaries it keeps
//! between modules.

#[doc = include_str!("../HOST.md")]
pub mod guide {}

#[doc = include_str!("../SECURITY.md")]
pub mod security {}

mod budget;
mod build;
pub mod bus;
mod call_error;
mod call_log;
mod config;
mod connection;
pub mod connection_limit;
pub mod control;
mod control_lock;
mod file_limit;
pub mod guard;
mod host;
mod host_resources;
pub mod kv;
mod lock;
pub mod logs;
pub mod metrics;
mod module;
mod module_router;
mod permissions;
mod processes;
mod program;
mod release;
mod replica;
mod services;
mod settings;
#[cfg(test)]
mod simulation;
mod socket;
mod standstill;
mod stats;
mod status;
mod supervisor;
mod topic;
mod topic_kind;
mod trace;

pub use ixt_manifest::text;
pub use ixt_protocol::{LogLevel, Object, Priority};

pub use build::{Build, BuildOutput, Builds};
pub use call_error::{CallError, ErrorReply};
pub use config::{Config, ConfigError};
pub use host::{CallOptions, Host, HostBuilder, HostError};
pub use module::Module;
pub use program::{BuildError, Program, ProgramError};
pub use release::{Deployment, LoadRequest, Loader, Loading, Notice};
pub use settings::{RestartPolicy, Settings};
pub use stats::{DURATION_BOUNDS, TopicStats};
pub use status::{InstanceState, InstanceStatus, ModuleStatus};
pub use supervisor::{StartError, StartErrorKind};
pub use topic_kind::TopicKind;
#[cfg(feature = "otel")]
pub use trace::SpanOptions;
