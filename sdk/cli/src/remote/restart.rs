//! `ixt restart`: asks a running host to replace a module by its newest version, and prints what the host reports meanwhile.

use std::path::Path;

use ixt_host::Notice;
use ixt_host::control::ControlCommand;
use ixt_host::text::harmless_lines;

use super::connection::ControlClient;
use crate::failure::{Failure, Result};
use crate::output::{print_json, say};

/// `ixt restart`: with `build` the host builds the module first. Notices go to stdout as JSON with `json`, otherwise to stderr. Returns
/// when the new processes have taken over and the old ones have ended. Fails with status 1 if the module can't be replaced, such as when
/// its build fails. If this process is ended before, the build ends, but a replacement that has begun goes on.
pub(crate) fn restart(module: String, build: bool, socket: Option<&Path>, json: bool) -> Result<()> {
    let mut remote = ControlClient::ask(socket, &ControlCommand::Restart { module, build })?;
    while let Some(notice) = remote.next()? {
        if json {
            print_json(notice.get())?;
            continue;
        }
        match serde_json::from_str(notice.get()).map_err(Failure::module)? {
            Notice::Build(text) | Notice::Report(text) => say(&harmless_lines(&text, "")),
            Notice::Step(step) => say(&format!("* {}\n", harmless_lines(&step, "  "))),
            Notice::Change { breaking, text } => {
                let kind = if breaking { "breaks callers: " } else { "" };
                say(&format!("* {kind}{}\n", harmless_lines(&text, "  ")));
            }
        }
    }
    Ok(())
}
