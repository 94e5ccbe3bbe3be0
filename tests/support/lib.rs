//! Helpers for several tests: the programs of the workspace, module crates in temporary directories, hosts, and a host made of raw bytes.

mod fixture;
mod hosts;
mod program;
mod raw_host;
mod remote_bus;
mod remote_store;
mod running;
mod scratch;

pub use fixture::{base64, built_fixture, entered, fixture, handle, parse};
pub use hosts::{Hosts, Started, block_on, program};
pub use program::{build, is_running, needs, target_dir, workspace};
pub use raw_host::RawHost;
pub use remote_bus::{Broker, RemoteBus};
pub use remote_store::RemoteStore;
pub use running::{Running, actor, actors, ixt, ixt_run};
pub use scratch::Scratch;
