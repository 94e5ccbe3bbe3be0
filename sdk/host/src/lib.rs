//! The host's end of IXT: starts a module's process, gives it its configuration, calls its services and ends it.
//!
//! ```no_run
//! use ixt_host::{Config, Instance, Module};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let module = Module::open("examples/orders")?;
//! let mut config = Config::of(module.manifest());
//! config.set_text("max_quantity", "5")?;
//!
//! let executable = module.build().await?;
//! let mut instance = Instance::start(&module, &executable, &config, |line| eprintln!("orders | {line}")).await?;
//! let reply = instance.call("orders.get", br#"{ "id": 1 }"#).await?;
//! println!("{reply}");
//! instance.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Module`] is a directory with a manifest; so far one that is a cargo package, which [`Module::build`] builds.
//! - [`Config`] is what the manifest declares, with its defaults; what is set is checked against the declared types.
//! - [`Instance`] is a running process of a module. It is in a process group of its own, and when the `Instance` is gone,
//!   so is the group.

mod cargo;
mod config;
mod connection;
mod instance;
mod module;
mod process;
mod socket;

pub use cargo::BuildError;
pub use config::{Config, ConfigError};
pub use connection::{CallError, ErrorReply};
pub use instance::{Instance, ShutdownError, StartError};
pub use module::Module;
