//! `ixt logs`: prints the log of a running host. The lines come from the host's memory, where it keeps at most 10,000 lines and 8 MiB; the
//! files of `--log-dir` are not read. The host selects the lines.

use std::path::Path;

use ixt_host::control::{ControlCommand, LogQuery};
use ixt_host::logs::{Record, Style};

use super::connection::ControlClient;
use crate::args::LogsArgs;
use crate::failure::{Failure, Result};
use crate::output::{is_terminal, print, print_json};

/// The number of lines that are printed if none of `-n`, `--trace` and `--since` is given.
const DEFAULT_LINES: usize = 100;

/// `ixt logs`. With `--follow` it goes on until a signal comes, or until the host ends, which is a failure with status 3.
pub(crate) fn logs(args: &LogsArgs, socket: Option<&Path>, json: bool) -> Result<()> {
    let LogsArgs { follow, lines, module, level, trace, since } = args;
    let default = if trace.is_some() || since.is_some() { usize::MAX } else { DEFAULT_LINES };
    let query = LogQuery {
        last: lines.unwrap_or(default),
        follow: *follow,
        module: module.clone(),
        level: level.map(Into::into),
        trace: trace.clone(),
        since: *since,
    };
    let mut remote = ControlClient::ask(socket, &ControlCommand::Logs(query))?;
    // In a pipe too it is for people, because programs use --json. There a line has its date and offset.
    let style = if is_terminal() { Style::Pretty } else { Style::Dated };
    while let Some(line) = remote.next()? {
        if json {
            print_json(line.get())?;
            continue;
        }
        let record: Record = serde_json::from_str(line.get()).map_err(Failure::module)?;
        print(&style.show(&record))?;
    }
    Ok(())
}
