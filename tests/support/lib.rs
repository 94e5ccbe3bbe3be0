//! Helpers for the tests in `tests/`. Most of them panic where a test has to fail.
//!
//! - `program` builds the workspace's programs, and finds processes; `scratch` makes module crates like those of authors;
//! - `hosts` is a host in the test's own process, `running` is `ixt run` as a process, `raw_host` is a host made of raw bytes, for one
//!   module (`fixture` has helpers for the module of that name);
//! - `remote_bus` and `remote_store` are a bus and a store of another crate, to copy.

mod fixture;
mod hosts;
mod program;
mod raw_host;
mod remote_bus;
mod remote_store;
mod running;
mod scratch;

pub use fixture::{base64, built_fixture, entered, fixture, handle, parse, send};
pub use hosts::{Hosts, Started, block_on, program};
pub use program::{build, is_running, needs, target_dir, workspace};
pub use raw_host::RawHost;
pub use remote_bus::{Broker, RemoteBus};
pub use remote_store::RemoteStore;
pub use running::{Running, actor, actors, ixt, ixt_run};
pub use scratch::Scratch;
