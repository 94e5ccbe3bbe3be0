//! The lines on a connection of the control socket: reads the request, with limits, and writes the replies.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, code};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::budget::{Budget, Reservation};
use crate::call_error::ErrorReply;
use crate::control::ControlReply;

/// The longest request, in bytes without the line end: room for a frame of the default size in base64. A longer one is
/// refused with `RESOURCE_EXHAUSTED`.
const MAX_LINE_BYTES: usize = 24 * 1024 * 1024;
/// The first bytes of each request and reply, up to this number, do not count for the limit of all lines together, so that
/// a busy host still answers small requests, such as for its status or to stop.
pub(super) const FREE_LINE_BYTES: usize = 64 * 1024;
/// The time between two looks whether a client that sends no more has closed its connection.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(50);

/// A request as it was read, with the memory that it has reserved. The memory is kept until the request is served.
pub(super) struct RequestLine {
    /// The line, without its line end.
    pub(super) line: Vec<u8>,
    /// The memory of the line beyond [`FREE_LINE_BYTES`].
    pub(super) held: Reservation,
}

/// Reads the request, which is the first line; anything after it is ignored. Returns `None` if the client closes the
/// connection before the line has its line end, and the reply with the refusal (`RESOURCE_EXHAUSTED`) if the line is
/// too long or takes too much memory. Has no timeout.
pub(super) async fn read_line(
    reader: &mut BufReader<OwnedReadHalf>,
    lines: &Arc<Budget>,
) -> Option<Result<RequestLine, ControlReply>> {
    let (mut line, mut held) = (Vec::new(), lines.overdraw(0));
    loop {
        let buffered = reader.fill_buf().await.ok().filter(|buffered| !buffered.is_empty())?;
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(buffered.len());
        if line.len() + taken > MAX_LINE_BYTES {
            let message = format!("the request is over the limit of {MAX_LINE_BYTES} bytes for a line");
            return Some(Err(refusal(code::RESOURCE_EXHAUSTED, &message)));
        }
        if !held.resize((line.len() + taken).saturating_sub(FREE_LINE_BYTES)) {
            return Some(Err(too_much()));
        }
        line.extend_from_slice(&buffered[..taken]);
        let consumed = taken + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            return Some(Ok(RequestLine { line, held }));
        }
    }
}

/// The refusal of a request or a reply for which there is no memory now: `RESOURCE_EXHAUSTED`, retryable.
pub(super) fn too_much() -> ControlReply {
    let message = "the host has too much to do: try again later".to_owned();
    ErrorReply::new(code::RESOURCE_EXHAUSTED.to_owned(), message, Value::Null, true).into()
}

/// Waits until the client has closed its connection. One that has only closed its sending side may still read, and is
/// waited for.
pub(super) async fn hung_up(mut reader: BufReader<OwnedReadHalf>) {
    let mut rest = [0; 64];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
    let stream = reader.get_ref();
    while stream.ready(Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
        tokio::time::sleep(HANG_UP_INTERVAL).await;
    }
}

/// Writes a line with a [`ControlReply::Data`]. The error is as for [`write()`]; it ends the request.
pub(super) async fn data(writer: &mut OwnedWriteHalf, data: &(impl Serialize + Sync)) -> Result<(), ControlReply> {
    /// Is serialized like [`ControlReply::Data`], but borrows.
    #[derive(Serialize)]
    struct Line<'a, T> {
        data: &'a T,
    }
    write(writer, &Line { data }).await
}

/// The [`ControlReply::Data`] line for a module's reply, which is not parsed again; without its line end.
pub(super) fn answer_line(answer: &Object<'_>) -> Vec<u8> {
    let mut line = b"{\"data\":".to_vec();
    // JSON has line ends only between values, where a space means the same.
    line.extend(answer.to_json().bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    line.push(b'}');
    line
}

/// Writes a reply as one line. The error is as for [`write_line`], or `INTERNAL` if the reply can't be written as JSON.
pub(super) async fn write(writer: &mut OwnedWriteHalf, reply: &(impl Serialize + Sync)) -> Result<(), ControlReply> {
    let line = serde_json::to_vec(reply).map_err(|error| refusal(code::INTERNAL, &error.to_string()))?;
    write_line(writer, line).await
}

/// Writes a line of JSON, to which this adds the line end. Waits while the client does not read. The error,
/// `CANCELLED`, is that the client is gone.
pub(super) async fn write_line(writer: &mut OwnedWriteHalf, mut line: Vec<u8>) -> Result<(), ControlReply> {
    line.push(b'\n');
    // If this fails, the client is gone, and the error ends the request without being sent.
    writer.write_all(&line).await.map_err(|error| refusal(code::CANCELLED, &error.to_string()))
}

/// A reply with an error that is not retryable and has no details.
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
