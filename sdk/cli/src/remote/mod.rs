//! The commands that talk to a running host through its control socket (`connection`), and `ixt kv check` and `ixt kv repair`, which read
//! the data of a host that is not running. `ixt call` and `ixt publish` are in `call`.

mod connection;
pub(crate) mod kv;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod restart;

use std::path::Path;

use ixt_host::control::ControlCommand;

use crate::failure::Result;
pub(crate) use connection::ControlClient;

/// `ixt stop`: shuts down the module, or without one the host, and waits until it has ended, without a limit. Fails with status 1 if there
/// is no such module.
pub(crate) fn stop(module: Option<String>, socket: Option<&Path>) -> Result<()> {
    let is_host = module.is_none();
    let remote = ControlClient::ask(socket, &ControlCommand::Stop { module })?;
    if is_host { remote.ended() } else { remote.done() }
}
