//! A running host, as the commands see it that talk to one.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ixt_host::ErrorReply;
use ixt_host::control::{Command, Reply, default_path};
use ixt_host::text::harmless;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::exit::{Failure, Result, error_text};

/// A request to a running host, and what comes back.
pub(crate) struct Remote {
    path: PathBuf,
    lines: BufReader<UnixStream>,
}

impl Remote {
    /// Asks the host at this place, or at the default one.
    pub(crate) fn ask(path: Option<&Path>, command: &Command) -> Result<Self> {
        let path = path.map_or_else(default_path, Path::to_owned);
        let mut stream = UnixStream::connect(&path).map_err(|error| {
            let place = path.display();
            Failure::usage(match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    format!(
                        "no host is running at {place}: start one with `ixt run DIR`, or say with --host where it is"
                    )
                }
                _ => format!("can't talk to the host at {place}: {error}"),
            })
        })?;
        // In a place that others can write to, it might not be this user's host that listens.
        let peer = socket_peercred(&stream).map_err(Failure::module)?;
        if peer.uid != geteuid() {
            let place = path.display();
            return Err(Failure::usage(format!(
                "it is not this user's host that listens at {place}: give --host PATH"
            )));
        }
        let mut line = serde_json::to_vec(command).map_err(Failure::usage)?;
        line.push(b'\n');
        match stream.write_all(&line) {
            Ok(()) => {}
            // It says why it does not take the rest.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(Failure::module(error)),
        }
        Ok(Self { path, lines: BufReader::new(stream) })
    }

    /// The next part of the answer; `None` when it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<Box<RawValue>>> {
        let mut line = String::new();
        let read = match self.lines.read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            read => read.map_err(Failure::module)?,
        };
        if read == 0 {
            return Err(Failure::module(format!("the host at {} has ended", self.path.display())));
        }
        match serde_json::from_str(&line) {
            Ok(Reply::Data(data)) => Ok(Some(data)),
            Ok(Reply::Done) => Ok(None),
            Ok(Reply::Error { code, message, details, retryable }) => {
                Err(Failure::no(error_text(&ErrorReply::new(code, message, details, retryable))))
            }
            Err(error) => {
                let line = harmless(line.trim_end());
                Err(Failure::module(format!("the host has answered what this version does not know: {error}: {line}")))
            }
        }
    }

    /// The answer to what has one.
    pub(crate) fn one<T: DeserializeOwned>(self) -> Result<T> {
        let data = self.raw()?;
        serde_json::from_str(data.get())
            .map_err(|error| Failure::module(format!("the host has answered what this version does not know: {error}")))
    }

    /// The same, unread.
    pub(crate) fn raw(mut self) -> Result<Box<RawValue>> {
        self.next()?.ok_or_else(|| Failure::module("the host has answered nothing"))
    }

    /// Waits until it is done.
    pub(crate) fn done(mut self) -> Result<()> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// Waits until the host has ended.
    pub(crate) fn ended(mut self) -> Result<()> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(1..) => Err(match serde_json::from_str(&line) {
                Ok(Reply::Error { code, message, details, retryable }) => {
                    Failure::no(error_text(&ErrorReply::new(code, message, details, retryable)))
                }
                _ => Failure::module(format!("the host did not stop: {}", harmless(line.trim_end()))),
            }),
            _ => Ok(()),
        }
    }
}
