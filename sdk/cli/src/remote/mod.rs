//! The commands that talk to a running host. `connection` is how they do.

mod connection;
pub(crate) mod kv;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod restart;

use std::path::Path;

use ixt_host::control::ControlCommand;

use crate::failure::Result;
pub(crate) use connection::ControlClient;

/// `ixt stop`: waits until the module has ended, or without one, the host.
pub(crate) fn stop(module: Option<String>, socket: Option<&Path>) -> Result<()> {
    let is_host = module.is_none();
    let remote = ControlClient::ask(socket, &ControlCommand::Stop { module })?;
    if is_host { remote.ended() } else { remote.done() }
}
