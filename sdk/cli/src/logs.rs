//! `ixt logs`: the log of a running host.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use ixt_host::control::Command;
use ixt_host::logs::{Line, Record, Style};
use serde::Deserialize;

use crate::args::Logs;
use crate::exit::{Failure, Result, print};
use crate::remote::Remote;

pub(crate) fn logs(args: &Logs, socket: Option<&Path>, json: bool) -> Result<()> {
    #[derive(Deserialize)]
    struct Missed {
        missed: u64,
    }
    let Logs { follow, lines, module, level } = args;
    let command = Command::Logs { last: *lines, follow: *follow, module: module.clone(), level: level.map(Into::into) };
    let mut remote = Remote::ask(socket, &command)?;
    let mut stdout = anstream::stdout();
    while let Some(line) = remote.next()? {
        if json {
            print(&format!("{line}\n"))?;
            continue;
        }
        let line = match serde_json::from_str(line.get()) {
            Ok(Missed { missed }) => Line::Missed(missed),
            Err(_) => Line::Record(Arc::new(serde_json::from_str::<Record>(line.get()).map_err(Failure::module)?)),
        };
        // Through a pipe it is still for people: programs say --json.
        if stdout.write_all(Style::Pretty.show(&line).as_bytes()).is_err() {
            return Ok(());
        }
        if std::io::stdout().is_terminal() {
            let _ = stdout.flush();
        }
    }
    Ok(())
}
