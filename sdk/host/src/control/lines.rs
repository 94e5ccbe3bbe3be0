//! The lines on a connection of the control socket: the request is read with limits, replies are written.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, code};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::ErrorReply;
use crate::budget::{Budget, Reservation};
use crate::control::ControlReply;

/// The longest request, in bytes: a frame of the default size in base64, and some more.
const MAX_LINE_BYTES: usize = 24 * 1024 * 1024;
/// Requests and replies up to this size do not count for the limit of all together, so that a busy host can still be
/// asked for its status, and be stopped.
pub(super) const FREE_LINE_BYTES: usize = 64 * 1024;
/// How often to look whether a client that has closed its writing side is gone.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(50);

/// A request as it was read, with its share of the limit.
pub(super) struct RequestLine {
    pub(super) line: Vec<u8>,
    pub(super) held: Reservation,
}

/// Reads the request. `None` if the client is gone. Anything after the first line is ignored.
pub(super) async fn read_line(
    reader: &mut BufReader<OwnedReadHalf>,
    lines: &Arc<Budget>,
) -> Option<Result<RequestLine, ControlReply>> {
    let (mut line, mut held) = (Vec::new(), lines.overdraw(0));
    loop {
        let there = reader.fill_buf().await.ok().filter(|there| !there.is_empty())?;
        let end = there.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(there.len());
        if line.len() + taken > MAX_LINE_BYTES {
            let message = format!("the request is over the limit of {MAX_LINE_BYTES} bytes for a line");
            return Some(Err(refusal(code::RESOURCE_EXHAUSTED, &message)));
        }
        if !held.resize((line.len() + taken).saturating_sub(FREE_LINE_BYTES)) {
            return Some(Err(too_much()));
        }
        line.extend_from_slice(&there[..taken]);
        let consumed = taken + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            return Some(Ok(RequestLine { line, held }));
        }
    }
}

/// The refusal of a request for which the host has no memory now. Retryable.
pub(super) fn too_much() -> ControlReply {
    let message = "the host has too much to do: try again later".to_owned();
    ErrorReply::new(code::RESOURCE_EXHAUSTED.to_owned(), message, Value::Null, true).into()
}

/// Waits until the client is gone. That it sends no more is not enough, since it may still read.
pub(super) async fn hung_up(mut reader: BufReader<OwnedReadHalf>) {
    let mut rest = [0; 64];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
    let stream = reader.get_ref();
    while stream.ready(Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
        tokio::time::sleep(HANG_UP_INTERVAL).await;
    }
}

/// Writes a [`ControlReply::Data`].
pub(super) async fn data(writer: &mut OwnedWriteHalf, data: &(impl Serialize + Sync)) -> Result<(), ControlReply> {
    /// A [`ControlReply::Data`], by reference.
    #[derive(Serialize)]
    struct Line<'a, T> {
        data: &'a T,
    }
    write(writer, &Line { data }).await
}

/// The [`ControlReply::Data`] line for a module's reply, without parsing it again.
pub(super) fn answer_line(answer: &Object<'_>) -> Vec<u8> {
    let mut line = b"{\"data\":".to_vec();
    // Its JSON may contain line ends between values, where any white space will do.
    line.extend(answer.to_json().bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    line.push(b'}');
    line
}

pub(super) async fn write(writer: &mut OwnedWriteHalf, reply: &(impl Serialize + Sync)) -> Result<(), ControlReply> {
    let line = serde_json::to_vec(reply).map_err(|error| refusal(code::INTERNAL, &error.to_string()))?;
    write_line(writer, line).await
}

pub(super) async fn write_line(writer: &mut OwnedWriteHalf, mut line: Vec<u8>) -> Result<(), ControlReply> {
    line.push(b'\n');
    // If this fails, the client is gone, and nobody sees the error.
    writer.write_all(&line).await.map_err(|error| refusal(code::CANCELLED, &error.to_string()))
}

pub(super) fn refusal(code: &str, message: &str) -> ControlReply {
    ControlReply::Error { code: code.to_owned(), message: message.to_owned(), details: Value::Null, retryable: false }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_several_lines_is_one_line() {
        let answer = Object::parse("{\n \"a\": \"\\n\"\n}").unwrap().attach("b", &b"hi"[..]);
        let line = answer_line(&answer);
        assert!(!line.contains(&b'\n'));
        let Ok(ControlReply::Data(data)) = serde_json::from_slice(&line) else { panic!("it is a reply") };
        let data: Value = serde_json::from_str(data.get()).unwrap();
        assert_eq!(data, json!({ "a": "\n", "b": "aGk=" }));
    }
}
