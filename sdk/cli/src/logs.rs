//! `ixt logs`: the log of a running host.

use std::path::Path;
use std::sync::Arc;

use ixt_host::control::Command;
use ixt_host::logs::{Line, Record, Style};
use serde::Deserialize;

use crate::args::Logs;
use crate::exit::{Failure, Result};
use crate::output::{print, print_json};
use crate::remote::Remote;

pub(crate) fn logs(args: &Logs, socket: Option<&Path>, json: bool) -> Result<()> {
    #[derive(Deserialize)]
    struct Missed {
        missed: u64,
    }
    let Logs { follow, lines, module, level } = args;
    let command = Command::Logs { last: *lines, follow: *follow, module: module.clone(), level: level.map(Into::into) };
    let mut remote = Remote::ask(socket, &command)?;
    while let Some(line) = remote.next()? {
        if json {
            print_json(line.get())?;
            continue;
        }
        let line = match serde_json::from_str(line.get()) {
            Ok(Missed { missed }) => Line::Missed(missed),
            Err(_) => Line::Record(Arc::new(serde_json::from_str::<Record>(line.get()).map_err(Failure::module)?)),
        };
        // Through a pipe it is still for people: programs say --json.
        print(&Style::Pretty.show(&line))?;
    }
    Ok(())
}
