//! `ixt logs`: the log of a running host.

use std::path::Path;

use ixt_host::control::{Command, LogQuery};
use ixt_host::logs::{Record, Style};

use crate::args::Logs;
use crate::exit::{Failure, Result};
use crate::output::{is_terminal, print, print_json};
use crate::remote::Remote;

/// So many lines are shown of those that are there, if neither their number nor anything else says which.
const DEFAULT_LINES: usize = 100;

pub(crate) fn logs(args: &Logs, socket: Option<&Path>, json: bool) -> Result<()> {
    let Logs { follow, lines, module, level, trace, since } = args;
    let default = if trace.is_some() || since.is_some() { usize::MAX } else { DEFAULT_LINES };
    let query = LogQuery {
        last: lines.unwrap_or(default),
        follow: *follow,
        module: module.clone(),
        level: level.map(Into::into),
        trace: trace.clone(),
        since: *since,
    };
    let mut remote = Remote::ask(socket, &Command::Logs(query))?;
    // Through a pipe it is still for people: programs say --json.
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
