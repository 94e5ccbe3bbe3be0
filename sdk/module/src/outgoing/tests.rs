//! Tests the queue of frames with a sink that is full when a test sets it so.

use std::fmt::Debug;
use std::io::{self, IoSlice};

use ixt_protocol::{
    CallContext, DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, LogLevel, ModuleFrame, Object, ServiceRequest,
};

use super::log_backlog::MAX_BACKLOG_BYTES;
use super::sending::MAX_UNWRITTEN_BYTES;
use super::*;
use crate::error::Error;
use crate::reply::Reply;

/// A sink that takes all bytes, or, while it is full, three bytes of each write.
#[derive(Debug, Default, Clone)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    full: bool,
    gathers: bool,
    flushes_planned: usize,
    written: Vec<u8>,
    writes: usize,
    waits: Option<(WriteBuffer, usize, Done)>,
}

impl Debug for FakeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeState")
    }
}

impl Sink for Fake {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = bytes.iter().flat_map(|slice| slice.to_vec()).collect();
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        let taken = if state.full { 3 } else { bytes.len() };
        state.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn write_later(&self, bytes: WriteBuffer, from: usize, done: Done) {
        let waits = &mut self.0.lock().unwrap().waits;
        assert!(waits.is_none(), "two write at once");
        *waits = Some((bytes, from, done));
    }

    fn gathers(&self) -> bool {
        self.0.lock().unwrap().gathers
    }

    fn flush_soon(&self) {
        self.0.lock().unwrap().flushes_planned += 1;
    }
}

impl Fake {
    fn set_full(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    /// Writes the rest of the write that waits.
    fn resume(&self) {
        let (bytes, from, done) = self.0.lock().unwrap().waits.take().expect("a write waits");
        self.0.lock().unwrap().written.extend(bytes.slices(from).flatten());
        done(bytes, Ok(()));
    }

    /// The frames that were written.
    fn frames(&self) -> Vec<String> {
        // Large enough for the replies of 16 MiB.
        let mut decoder = FrameDecoder::new(2 * DEFAULT_MAX_FRAME_BYTES);
        decoder.input().extend_from_slice(&self.0.lock().unwrap().written);
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame() {
            frames.push(String::from_utf8(frame.unwrap().json.to_vec()).unwrap());
        }
        frames
    }
}

const LOG: Features = Features { log: true, starting: false, ready: false };

fn log_line(message: &str) -> LogFrame<'_> {
    LogFrame { level: LogLevel::Info, message: message.into(), fields: None, trace_id: "".into() }
}

#[test]
fn while_the_socket_is_full_replies_wait_and_the_oldest_log_lines_are_dropped() {
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    outgoing.set_limits(100_000, LOG);
    sink.set_full(true);
    outgoing.reply(Some(1), Err(Error::internal("first")));
    let message = "x".repeat(MAX_BACKLOG_BYTES / 10);
    for number in 0..25 {
        assert!(outgoing.log(log_line(&format!("{number} {}", &message[..90_000]))));
        outgoing.reply(Some(100 + number), Err(Error::internal("more")));
    }
    sink.set_full(false);
    sink.resume();
    let frames = sink.frames();
    let replies = frames.iter().filter(|frame| frame.contains(r#""type":"error""#)).count();
    assert_eq!(replies, 26);
    let told = frames.iter().position(|frame| frame.contains("log lines were dropped here")).expect("a line says so");
    assert!(frames[told].contains("14 log lines"), "{}", frames[told]);
    let kept: Vec<_> = frames[told + 1..].iter().map(|frame| &frame[40..43]).collect();
    assert_eq!(kept, (14..25).map(|number| format!("{number} ")).collect::<Vec<_>>());
}

/// The memory for a host that does not read is bounded, and each request still gets a reply.
#[test]
fn while_the_socket_is_full_64_mib_wait_and_then_replies_become_errors() {
    const REPLY_BYTES: usize = 16 << 20;
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    outgoing.set_limits(REPLY_BYTES + 1000, LOG);
    sink.set_full(true);
    let large = || Ok(Reply::new(Object::serialize(&serde_json::json!({ "a": "x".repeat(REPLY_BYTES) })).unwrap()));
    for id in 0..10 {
        outgoing.reply(Some(id), large());
        assert!(outgoing.lock().unwritten.len() <= MAX_UNWRITTEN_BYTES + REPLY_BYTES + 10_000);
    }
    let request = ServiceRequest {
        service: "s".into(),
        method: "m".into(),
        params: Object::empty(),
        context: CallContext::default(),
    };
    let request = || Frame { id: Some(1), body: ModuleFrame::ServiceRequest(request.clone()) };
    let refused = outgoing.send(request()).unwrap_err();
    assert_eq!(refused.to_string(), "RESOURCE_EXHAUSTED: the host does not read: 64 MiB wait for it");
    sink.set_full(false);
    sink.resume();
    outgoing.send(request()).unwrap();
    let frames = sink.frames();
    let refused = frames.iter().filter(|frame| frame.contains("RESOURCE_EXHAUSTED")).count();
    assert_eq!((frames.len(), refused), (11, 5));
}

#[test]
fn a_thread_that_gathers_writes_once_for_all_that_it_has_sent() {
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    let reply = |id| outgoing.reply(Some(id), Err(Error::internal("no")));
    let writes = || sink.0.lock().unwrap().writes;
    reply(1);
    assert_eq!(writes(), 1, "a thread that does not gather writes at once");
    sink.0.lock().unwrap().gathers = true;
    reply(2);
    reply(3);
    assert_eq!(writes(), 1);
    outgoing.flush();
    assert_eq!(writes(), 2);
    for id in 0..5000 {
        reply(id);
    }
    assert!(writes() > 2, "what is gathered is bounded");
    sink.0.lock().unwrap().gathers = false;
    let before = writes();
    reply(4);
    assert_eq!(writes(), before + 1);
    assert_eq!(sink.frames().len(), 5004);
}

#[test]
fn what_a_thread_has_gathered_and_does_not_flush_is_written_at_the_second_tick() {
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    let reply = |id| outgoing.reply(Some(id), Err(Error::internal("no")));
    let writes = || sink.0.lock().unwrap().writes;
    sink.0.lock().unwrap().gathers = true;
    for round in 1..=3 {
        reply(1);
        reply(2);
        assert_eq!(sink.0.lock().unwrap().flushes_planned, round, "the ticks are asked for once");
        assert!(outgoing.flush_stale());
        assert_eq!(writes(), round - 1, "the frames may be new");
        assert!(outgoing.flush_stale());
        assert_eq!(writes(), round);
        assert!(!outgoing.flush_stale(), "nothing is left");
    }
    // What is sent after a flush is not as old as what was flushed.
    reply(3);
    assert!(outgoing.flush_stale());
    outgoing.flush();
    reply(4);
    assert!(outgoing.flush_stale());
    assert_eq!(writes(), 4);
    outgoing.flush();
    assert_eq!(sink.frames().len(), 8);
}

#[test]
fn log_lines_that_were_kept_during_init_go_out_in_the_framing_before() {
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    outgoing.set_limits(100_000, LOG);
    sink.set_full(true);
    for message in ["first", "kept"] {
        assert!(outgoing.log(log_line(message)));
    }
    let ready = Ok(Reply::json(&serde_json::json!({ "ready": true })).unwrap());
    let opened = std::cell::Cell::new(false);
    assert!(outgoing.reply_to_init(Some(1), ready, Some(Framing::Length), || opened.set(true)));
    assert!(opened.get());
    assert!(outgoing.log(log_line("after")));
    sink.set_full(false);
    sink.resume();
    let written = sink.0.lock().unwrap().written.clone();
    let text = String::from_utf8_lossy(&written);
    let lines: Vec<_> = text.split('\n').collect();
    assert!(lines[0].contains("first") && lines[1].contains("kept") && lines[2].contains("ready"), "{text}");
    assert_eq!(lines[3].as_bytes()[..4], u32::try_from(lines[3].len() - 4).unwrap().to_le_bytes(), "{text}");
}

#[test]
fn an_init_that_has_failed_opens_nothing() {
    let sink = Fake::default();
    let outgoing = Arc::new(Outgoing::new(sink.clone()));
    let open = || panic!("it has failed");
    assert!(!outgoing.reply_to_init(Some(1), Err(Error::internal("no")), Some(Framing::Length), open));
    outgoing.set_limits(10, Features::default());
    let ready = Ok(Reply::json(&serde_json::json!({ "ready": true })).unwrap());
    assert!(!outgoing.reply_to_init(Some(1), ready, Some(Framing::Length), open));
    assert_eq!(sink.frames().len(), 2, "in lines");
}

#[test]
fn the_end_waits_for_what_is_still_to_be_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let sink = Fake::default();
        let outgoing = Arc::new(Outgoing::new(sink.clone()));
        sink.set_full(true);
        outgoing.reply(Some(1), Err(Error::internal("last")));
        let mut closed = std::pin::pin!(outgoing.close());
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(closed.as_mut().poll(cx).is_pending())).await);
        sink.set_full(false);
        sink.resume();
        closed.await;
        assert_eq!(sink.frames().len(), 1);
        assert!(!outgoing.log(log_line("nobody reads it")));
    });
}
