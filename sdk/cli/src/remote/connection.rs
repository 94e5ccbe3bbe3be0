//! The connection of a command to a running host: a Unix socket, one request in JSON, and the lines of its answer (`ixt_host::control`).

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ixt_host::ErrorReply;
use ixt_host::control::{ControlCommand, ControlReply, default_path};
use ixt_host::text::harmless;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::failure::{Failure, Result};

/// A connection on which a command was sent and on which the host's answer comes: any number of data, each a line of JSON, then the end or
/// an error. One connection is for one command. All methods block. Those that read the answer wait for it without a limit.
///
/// If the answer is an error, that is a failure with status 1; if the connection breaks, or the answer can't be read, the status is 3. To
/// [`ended`](Self::ended) a broken connection is the end of the host.
pub(crate) struct ControlClient {
    /// The path of the socket, for errors.
    path: PathBuf,
    lines: BufReader<UnixStream>,
}

impl ControlClient {
    /// Sends a command to the host at this path; `None`: at the default one. Does not wait for the answer. Fails with status 2 if it can't
    /// connect, such as when no host listens there, or if the host is another user's; with status 3 if the command can't be sent. If the
    /// host closes the connection meanwhile, that is no failure here: its answer may say why.
    pub(crate) fn ask(path: Option<&Path>, command: &ControlCommand) -> Result<Self> {
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
        // In a directory that others can write to, another user's program could listen.
        let peer = socket_peercred(&stream).map_err(Failure::module)?;
        if peer.uid != geteuid() {
            let place = path.display();
            return Err(Failure::usage(format!(
                "another user's program listens at {place}: give the path of your host with --host"
            )));
        }
        let mut line = serde_json::to_vec(command).map_err(Failure::usage)?;
        line.push(b'\n');
        match stream.write_all(&line) {
            Ok(()) => {}
            // The host has refused the command before it was complete, and its answer says why.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(Failure::module(error)),
        }
        Ok(Self { path, lines: BufReader::new(stream) })
    }

    /// Waits for the next data of the answer. `None` at its end: call it no more then.
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
            Ok(ControlReply::Data(data)) => Ok(Some(data)),
            Ok(ControlReply::Done) => Ok(None),
            Ok(ControlReply::Error { code, message, details, retryable }) => {
                Err(Failure::replied(&ErrorReply::new(code, message, details, retryable)))
            }
            Err(error) => Err(unreadable(&error, &line)),
        }
    }

    /// Waits for the first data of the answer, and returns it. Later data, and an error after it, are not read. An answer without data
    /// fails with status 3.
    pub(crate) fn one<T: DeserializeOwned>(self) -> Result<T> {
        let data = self.raw()?;
        serde_json::from_str(data.get()).map_err(|error| unreadable(&error, data.get()))
    }

    /// Like [`Self::one`], but returns the data as the JSON that the host has sent.
    pub(crate) fn raw(mut self) -> Result<Box<RawValue>> {
        self.next()?.ok_or_else(|| Failure::module("the host's answer is empty"))
    }

    /// Waits for the end of the answer, and ignores its data.
    pub(crate) fn done(mut self) -> Result<()> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// Waits until the host closes the connection, which it does when it has ended. Any line before that is a failure: with status 1 if it
    /// is an error of the host, otherwise 3.
    pub(crate) fn ended(mut self) -> Result<()> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(1..) => Err(match serde_json::from_str(&line) {
                Ok(ControlReply::Error { code, message, details, retryable }) => {
                    Failure::replied(&ErrorReply::new(code, message, details, retryable))
                }
                _ => Failure::module(format!("the host did not stop: {}", harmless(line.trim_end()))),
            }),
            _ => Ok(()),
        }
    }
}

/// Status 3: the answer is not JSON of the kind that this version expects.
fn unreadable(error: &serde_json::Error, answer: &str) -> Failure {
    let answer = harmless(answer.trim_end());
    Failure::module(format!("this version of `ixt` can't read the host's answer: {error}: {answer}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Asks a host that answers with these lines and then closes the connection. Returns what `take` returns for the answer.
    fn answered<T: Send>(lines: &str, take: impl FnOnce(ControlClient) -> Result<T>) -> Result<T> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        let host = UnixListener::bind(&path).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut connection = BufReader::new(host.accept().unwrap().0);
                let mut command = String::new();
                connection.read_line(&mut command).unwrap();
                assert_eq!(command, "{\"do\":\"status\"}\n");
                connection.get_mut().write_all(lines.as_bytes()).unwrap();
            });
            take(ControlClient::ask(Some(&path), &ControlCommand::Status)?)
        })
    }

    fn all(mut client: ControlClient) -> Result<Vec<String>> {
        let mut all = Vec::new();
        while let Some(data) = client.next()? {
            all.push(data.get().to_owned());
        }
        Ok(all)
    }

    /// The lines of an answer.
    fn lines(replies: &[ControlReply]) -> String {
        replies.iter().map(|reply| serde_json::to_string(reply).unwrap() + "\n").collect()
    }

    fn data(json: &str) -> ControlReply {
        ControlReply::Data(RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn an_answer_is_data_and_an_end() {
        let whole = lines(&[data("1"), data("{\"a\":2}"), ControlReply::Done]);
        assert_eq!(answered(&whole, all).unwrap(), ["1", "{\"a\":2}"]);
        assert_eq!(answered(&whole, ControlClient::one::<u32>).unwrap(), 1);
        answered(&whole, ControlClient::done).unwrap();
        answered("", ControlClient::ended).unwrap();
    }

    #[test]
    fn an_error_of_the_host_and_a_broken_answer_have_their_statuses() {
        let error = lines(&[ControlReply::Error {
            code: "NO".to_owned(),
            message: "no\u{1b}".to_owned(),
            details: serde_json::Value::Null,
            retryable: false,
        }]);
        for (lines, status, says) in [
            (error.as_str(), 1, "error: NO: no\\u{1b}\n"),
            (&lines(&[data("1")]), 3, " has ended"),
            ("", 3, " has ended"),
            ("{\"new\":1}\n", 3, "this version of `ixt` can't read the host's answer"),
        ] {
            let failure = answered(lines, all).unwrap_err();
            assert_eq!(failure.status(), status, "{failure:?}");
            assert!(failure.text().contains(says), "{failure:?}");
        }
        assert_eq!(answered(&error, ControlClient::ended).unwrap_err().status(), 1);
        assert_eq!(answered(&lines(&[data("\"x\"")]), ControlClient::one::<u32>).unwrap_err().status(), 3);
        assert_eq!(answered(&lines(&[ControlReply::Done]), ControlClient::raw).unwrap_err().status(), 3);
    }

    #[test]
    fn without_a_host_it_is_a_usage_error() {
        let dir = tempfile::tempdir().unwrap();
        let failure = ControlClient::ask(Some(&dir.path().join("h")), &ControlCommand::Status).err().unwrap();
        assert_eq!(failure.status(), 2);
        assert!(failure.text().contains("no host is running at "), "{failure:?}");
    }
}
