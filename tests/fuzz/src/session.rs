//! A whole session: whatever the host sends after `init`, the module doesn't panic, writes only frames, answers each request
//! once, and ends when the host is gone.

use std::collections::HashMap;
use std::time::Duration;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, Framing, HostFrame, ModuleFrame, Unreadable};
use ixt_sdk::testing::Pipe;

use crate::input::with_length;
use crate::module;

/// A byte after which a byte with a number of milliseconds comes, for which the clock goes on. It is in no UTF-8 text.
const WAIT: u8 = 0xFE;

pub(crate) fn run(data: &[u8]) {
    let Some((&setup, data)) = data.split_first() else { return };
    let framing = if setup & 1 == 0 { Framing::Line } else { Framing::Length };
    // Its lines are sent with a length each; otherwise it is sent as it is.
    let framed = setup & 2 != 0;
    let limited = module::module::<module::Fuzzed>().max_concurrency(1 + usize::from(setup >> 6)).max_queued(2);
    let mut pipe = Pipe::new(limited).expect("it can be started");

    let mut sent = Vec::new();
    let mut output = pipe.exchange(init(framing).as_bytes());
    assert!(output.ends_with(b"\n"), "init was not answered: {}", String::from_utf8_lossy(&output));
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == WAIT).unwrap_or(rest.len());
        let lines = rest[..end].split(|byte| *byte == b'\n');
        let bytes = if framed { lines.flat_map(with_length).collect() } else { rest[..end].to_vec() };
        output.extend(pipe.exchange(&bytes));
        sent.extend(bytes);
        if let Some(milliseconds) = rest.get(end + 1) {
            output.extend(pipe.wait(Duration::from_millis(u64::from(*milliseconds))));
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    output.extend(pipe.hang_up().expect("a module without a host ends"));

    let (asked, answered) = (requests(&sent, framing), answered(&output, framing));
    assert_eq!(asked, answered, "how often each id was asked, and answered");
}

const INIT_ID: u64 = 1;
const MAX_FRAME_BYTES: usize = 4096;

/// An `init` that offers this framing and the feature `log`, with a small limit of frames.
fn init(framing: Framing) -> String {
    let framing = framing.as_str();
    format!(
        "{{\"type\":\"init\",\"id\":{INIT_ID},\"config\":{{}},\"protocol\":{{\"version\":1,\"max_frame_bytes\":{MAX_FRAME_BYTES},\
         \"framings\":[\"{framing}\"],\"features\":[\"log\"]}}}}\n"
    )
}

/// The number of requests with each id.
fn requests(sent: &[u8], framing: Framing) -> HashMap<u64, usize> {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.input().extend_from_slice(init(framing).as_bytes());
    assert!(decoder.next_frame().is_some(), "the frame `init`");
    decoder.set_max_frame_bytes(MAX_FRAME_BYTES);
    if framing == Framing::Length {
        decoder.expect_length();
    }
    decoder.input().extend_from_slice(sent);
    let mut requests = HashMap::from([(INIT_ID, 1)]);
    while let Some(frame) = decoder.next_frame() {
        // A frame that is not a request is not answered, even if its fields are wrong.
        let id = match frame.map(HostFrame::read) {
            Ok(Ok(Frame { id, body })) => {
                let none = matches!(
                    body,
                    HostFrame::Cancel
                        | HostFrame::KvChange(_)
                        | HostFrame::KvWatchEnded { .. }
                        | HostFrame::Draining { .. }
                        | HostFrame::ServiceResponse(_)
                );
                id.filter(|_| !none)
            }
            Ok(Err(Unreadable::Invalid { id, kind, .. })) => id.filter(|_| {
                kind != "service_response" && kind != "cancel" && kind != "draining" && !kind.starts_with("kv_")
            }),
            Ok(Err(Unreadable::UnknownType { id, .. })) => id,
            Ok(Err(Unreadable::NotAFrame(_))) | Err(_) => None,
        };
        if let Some(id) = id {
            *requests.entry(id).or_default() += 1;
        }
    }
    requests
}

/// The number of replies with each id.
fn answered(output: &[u8], framing: Framing) -> HashMap<u64, usize> {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.input().extend_from_slice(output);
    let mut replies = HashMap::new();
    let mut first = true;
    while let Some(frame) = decoder.next_frame() {
        let frame = frame.expect("a frame that is whole");
        let frame = ModuleFrame::read(frame).unwrap_or_else(|error| panic!("{error}"));
        if let (ModuleFrame::Success { .. } | ModuleFrame::Error(_), Some(id)) = (&frame.body, frame.id) {
            *replies.entry(id).or_default() += 1;
        }
        if std::mem::take(&mut first) && framing == Framing::Length {
            decoder.set_framing(framing);
        }
    }
    assert!(decoder.input().is_empty(), "the module has written half a frame");
    replies
}
