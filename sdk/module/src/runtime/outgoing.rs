//! Frames on their way to the host. Whoever sends a frame also writes it, without waiting; only what the socket doesn't
//! take at once is left to a thread that may wait. The thread that reads defers its writing until it has handled all that
//! it has read, so that many replies go out in one write. Small frames are put one behind the other, large ones are written
//! from where they were made.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, ErrorBody, Frame, Framing, Log, LogLevel, ModuleFrame, Starting, code};
use serde_json::value::to_raw_value;
use tokio::sync::SetOnce;

use crate::middleware::Reply;
use crate::runtime::chunks::{Chunks, Spare};
use crate::runtime::pace::Pace;
use crate::{Error, Result, log_error};

/// Where frames are put. Shared by everyone who sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    state: Mutex<State>,
    sink: Box<dyn Sink>,
    /// Set when all has been written after [`close`](Outgoing::close), or nothing can be written any more.
    done: SetOnce<()>,
}

/// What frames are written to.
pub(crate) trait Sink: Debug + Send + Sync {
    /// Writes as much as can be written without waiting, and tells how much that is.
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes the bytes from this one on where waiting is allowed, and gives them back to `done` at the end.
    fn write_later(&self, bytes: Chunks, from: usize, done: Done);
}

pub(crate) type Done = Box<dyn FnOnce(Chunks, io::Result<()>) + Send>;

#[derive(Debug)]
struct State {
    framing: Framing,
    max_frame_bytes: usize,
    /// What is still to be written.
    buffer: Chunks,
    writer: Writer,
    /// The thread that reads, which writes when it has handled what it has read.
    deferring: u64,
    pace: Pace,
    /// What large frames were in.
    spare: Spare,
    closing: bool,
    gone: bool,
    logs: Logs,
    features: Features,
    /// Whether the module takes calls, as its author has said last.
    ready: bool,
}

/// What the host takes beside replies and requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    /// Log lines.
    pub(crate) log: bool,
    /// Word of a start that takes its time. Not after the reply to `init`.
    pub(crate) starting: bool,
    /// Word of whether the module takes calls.
    pub(crate) ready: bool,
}

/// What is being written at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Nothing.
    Idle,
    /// Somebody is writing, and goes on until the buffer is empty.
    Writing,
    /// The socket takes nothing; somebody waits for it, and then goes on.
    Full,
}

/// Log lines while the socket is full: the newest of them.
#[derive(Debug, Default)]
struct Logs {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
}

/// A frame from this size on is not copied, and is made without the lock.
const LARGE_BYTES: usize = 16 * 1024;
/// So many pieces are written at once.
const SLICES: usize = 16;
/// As much of the log is kept while the host takes nothing.
const LOG_BYTES: usize = 1024 * 1024;
/// With so much that the host has not read, replies and requests are refused; what is being written is apart from that.
const UNREAD_BYTES: usize = 64 * 1024 * 1024;
/// A buffer that has grown larger than this is not kept.
const SPARE_BYTES: usize = 64 * 1024;
/// What there is around the data of most frames, at most.
const ENVELOPE_BYTES: usize = 256;

thread_local! {
    /// The number under which this thread has read, if it has.
    static READER: Cell<u64> = const { Cell::new(0) };
}

/// This thread reads, under this number, until [`Outgoing::defer_for`] names another.
pub(crate) fn read_as(number: u64) {
    READER.set(number);
}

/// The number under which this thread reads or has read.
pub(crate) fn reader_number() -> u64 {
    READER.get()
}

impl Outgoing {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        let state = State {
            framing: Framing::Line,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            buffer: Chunks::default(),
            writer: Writer::Idle,
            deferring: u64::MAX,
            pace: Pace::new(),
            spare: Spare::default(),
            closing: false,
            gone: false,
            logs: Logs::default(),
            features: Features::default(),
            ready: true,
        };
        Self { state: Mutex::new(state), sink: Box::new(sink), done: SetOnce::new() }
    }

    /// The thread that reads under this number writes itself, when it calls [`flush`](Self::flush).
    pub(crate) fn defer_for(&self, number: u64) {
        self.lock().deferring = number;
    }

    /// Takes over what the host said in `init`.
    pub(crate) fn set_limits(&self, max_frame_bytes: usize, features: Features) {
        let mut state = self.lock();
        state.max_frame_bytes = max_frame_bytes;
        state.features = features;
    }

    /// The framing of the frames from here on.
    pub(crate) fn set_framing(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    /// Sends a frame that is no reply.
    ///
    /// # Errors
    ///
    /// If it is larger than the host takes, or the host does not read.
    pub(crate) fn send(self: &Arc<Self>, frame: Frame<ModuleFrame<'_>>) -> Result<()> {
        if matches!(frame.body, ModuleFrame::ServiceRequest(_)) {
            self.has_room()?;
        }
        let (state, written) = self.put(frame);
        if let Err(bytes) = written {
            let max = state.max_frame_bytes;
            let message = format!("the request of {bytes} bytes is over the limit of {max} bytes for a frame");
            let error = Error::new(code::RESOURCE_EXHAUSTED, message);
            return Err(error.detail("bytes", bytes).detail("max_frame_bytes", max));
        }
        self.written(state);
        Ok(())
    }

    /// Answers a request.
    pub(crate) fn reply(self: &Arc<Self>, id: Option<u64>, reply: Result<Reply>) {
        // An error is small, so that it is answered in any case.
        let reply = reply.and_then(|reply| self.has_room().map(|()| reply));
        let (mut state, written) = match reply {
            Ok(reply) => self.put(Frame { id, body: ModuleFrame::Success { data: reply.data() } }),
            Err(error) => {
                let mut state = self.lock();
                let written = state.append_error(id, &error);
                (state, written)
            }
        };
        if let Err(bytes) = written {
            let max = state.max_frame_bytes;
            let message = format!("the reply of {bytes} bytes is over the limit of {max} bytes for a frame");
            // That it is answered counts more than the limit.
            let error = Error::internal(&message).detail("bytes", bytes).detail("max_frame_bytes", max);
            state.max_frame_bytes = usize::MAX;
            let _ = state.append_error(id, &error);
            state.max_frame_bytes = max;
            self.written(state);
            return log_error(message);
        }
        self.written(state);
    }

    /// An error if the host has not read what it was sent before.
    fn has_room(&self) -> Result<()> {
        if self.lock().buffer.len() <= UNREAD_BYTES {
            return Ok(());
        }
        let message = format!("the host does not read: {} MiB wait for it", UNREAD_BYTES >> 20);
        Err(Error::new(code::RESOURCE_EXHAUSTED, message).retryable())
    }

    /// Answers `init`. If that is a success, calls `open` before anybody can have read it, and goes on in another framing if
    /// one is given. False if it is none: also if it is longer than the host takes.
    pub(crate) fn reply_to_init(
        self: &Arc<Self>,
        id: Option<u64>,
        reply: Result<Reply>,
        framing: Option<Framing>,
        open: impl FnOnce(),
    ) -> bool {
        let mut state = self.lock();
        // What was kept is in the framing before.
        state.unblock_logs();
        state.features.starting = false;
        let written = match &reply {
            Ok(reply) => state.append(&Frame { id, body: ModuleFrame::Success { data: reply.clone().data() } }).is_ok(),
            Err(_) => false,
        };
        if !written {
            drop(state);
            self.reply(id, reply);
            return false;
        }
        open();
        if let Some(framing) = framing {
            state.framing = framing;
        }
        self.written(state);
        true
    }

    /// Sends a log line, or gives it up for another: nobody waits for the log. False if the host doesn't take any.
    pub(crate) fn log(self: &Arc<Self>, log: Log<'_>) -> bool {
        let mut state = self.lock();
        if !state.features.log || state.gone || state.closing {
            return false;
        }
        let level = log.level;
        let mut line = Vec::new();
        let write = |log: Log<'_>, line: &mut Vec<u8>| {
            Frame { id: None, body: ModuleFrame::Log(log) }.write(state.framing, line)
        };
        if write(log.clone(), &mut line) > state.max_frame_bytes {
            // What is too long is told in short. JSON may take six bytes for one.
            let room = (state.max_frame_bytes / 8).saturating_sub(64);
            let start: String = log.message.chars().take(room / 4).collect();
            let message = format!("{start} … ({} bytes)", log.message.len());
            line.clear();
            write(Log { message: message.into(), fields: None, ..log }, &mut line);
        }
        if state.writer == Writer::Full {
            state.logs.keep(line);
        } else {
            state.buffer.last.extend(line);
            if level == LogLevel::Error {
                // It may be the process's last word.
                self.write_now(state);
            } else {
                self.written(state);
            }
        }
        true
    }

    /// Asks for so much more time for `init`. Does nothing if the host does not know of that, or `init` has been answered.
    pub(crate) fn starting(self: &Arc<Self>, message: &str, extend_ms: u64) {
        let mut state = self.lock();
        if !state.features.starting {
            return;
        }
        let frame = |message| Frame { id: None, body: ModuleFrame::Starting(Starting { message, extend_ms }) };
        // The time counts more than the text.
        if state.append(&frame(message.into())).is_err() {
            let _ = state.append(&frame("".into()));
        }
        self.write_now(state);
    }

    /// Tells whether the module takes calls, if that is new.
    pub(crate) fn set_ready(self: &Arc<Self>, ready: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ready, ready) != ready && state.features.ready {
            let _ = state.append(&Frame { id: None, body: ModuleFrame::Ready { ready } });
            self.write_now(state);
        }
    }

    /// Whether the module takes no calls, and the host does not know, for it takes no word of that.
    pub(crate) fn is_unready_in_secret(&self) -> bool {
        let state = self.lock();
        !state.ready && !state.features.ready
    }

    /// Writes what whoever has put it there may not live to see written: its thread may block now.
    fn write_now<'a>(self: &'a Arc<Self>, state: MutexGuard<'a, State>) {
        if state.writer == Writer::Idle {
            self.write(state);
        }
    }

    /// Ends the connection once all is written that was put here before.
    pub(crate) async fn close(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            state.closing = true;
            if state.writer == Writer::Idle && state.buffer.is_empty() {
                let _ = self.done.set(());
            }
        }
        self.flush();
        self.done.wait().await;
    }

    /// Puts a frame behind the others. Its size, if it is too large; then it was not put there.
    fn put(&self, frame: Frame<ModuleFrame<'_>>) -> (MutexGuard<'_, State>, Result<(), usize>) {
        let mut state = self.lock();
        if frame.body.object().is_none_or(|object| object.bytes() < LARGE_BYTES) || state.gone {
            let written = state.append(&frame);
            return (state, written);
        }
        let framing = state.framing;
        let room = room_of(&frame, framing);
        let mut chunk = if room >= LARGE_BYTES { state.spare.take(room) } else { Vec::with_capacity(room) };
        drop(state);
        let (bytes, _) = frame.write_before_attachment(framing, &mut chunk);
        state = self.lock();
        let written = if state.framing == framing {
            state.append_large(chunk, frame.body.into_attachment(framing), bytes)
        } else {
            // Meanwhile `init` was answered, and with it the framing has changed.
            state.append(&frame)
        };
        (state, written)
    }

    fn written<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        if state.writer != Writer::Idle {
            return;
        }
        let bytes = state.buffer.len();
        if state.deferring != reader_number() || state.pace.is_due(bytes) {
            self.write(state);
        }
    }

    /// The thread that reads has handled all that it has read: writes what is there. Tells whether it is to be found out if the
    /// host has sent more meanwhile, for [`learn`](Self::learn).
    pub(crate) fn end_of_input(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        let bytes = state.buffer.len();
        let find_out = state.pace.end(bytes);
        state.spare.rest();
        if state.writer == Writer::Idle {
            self.write(state);
        }
        find_out
    }

    /// Whether large buffers are kept for frames to come, or are being written.
    pub(crate) fn holds_spare(&self) -> bool {
        self.lock().spare.is_in_use()
    }

    /// Keeps none.
    pub(crate) fn release_spare(&self) {
        self.lock().spare.release();
    }

    /// The host had sent more.
    pub(crate) fn learn(&self, more: bool) {
        self.lock().pace.learn(more);
    }

    /// Writes what is there.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.write_now(self.lock());
    }

    /// Writes until nothing is left; the caller is the writer, or will be.
    fn write<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        let mut spare = Chunks::default();
        loop {
            state.unblock_logs();
            if state.buffer.is_empty() || state.gone {
                state.writer = Writer::Idle;
                drop(state.buffer.clear());
                let capacity = spare.last.capacity();
                if capacity > state.buffer.last.capacity() && capacity <= SPARE_BYTES {
                    state.buffer = spare;
                }
                if state.closing || state.gone {
                    let _ = self.done.set(());
                }
                return;
            }
            state.writer = Writer::Writing;
            let mut chunks = std::mem::replace(&mut state.buffer, std::mem::take(&mut spare));
            drop(state);
            let (written, all) = (self.try_write(&chunks), chunks.len());
            state = self.lock();
            match written {
                Ok(written) if written < all => {
                    state.writer = Writer::Full;
                    drop(state);
                    let this = Arc::clone(self);
                    let done = move |mut chunks: Chunks, result: io::Result<()>| {
                        let mut state = this.lock();
                        state.gone |= result.is_err();
                        state.keep(&mut chunks);
                        this.write(state);
                    };
                    return self.sink.write_later(chunks, written, Box::new(done));
                }
                Ok(_) => {}
                // The host is gone, which the reader finds out as well.
                Err(_) => state.gone = true,
            }
            state.keep(&mut chunks);
            spare = chunks;
        }
    }

    /// Writes as much as can be written without waiting.
    fn try_write(&self, chunks: &Chunks) -> io::Result<usize> {
        let (mut written, all) = (0, chunks.len());
        while written < all {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = slices
                .iter_mut()
                .zip(chunks.slices(written))
                .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
                .count();
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            let taken = self.sink.try_write(&slices[..filled])?;
            written += taken;
            if taken < offered {
                break;
            }
        }
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic half done happens under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much room a large frame needs, without its attachment.
fn room_of(frame: &Frame<ModuleFrame<'_>>, framing: Framing) -> usize {
    let object = frame.body.object().map_or(0, |object| match framing {
        // Bytes are base64.
        Framing::Line => object.bytes().div_ceil(3) * 4,
        Framing::Length => object.json().len(),
    });
    object + ENVELOPE_BYTES
}

impl State {
    /// The frame's size if it is too large; then nothing was appended.
    fn append(&mut self, frame: &Frame<ModuleFrame<'_>>) -> Result<(), usize> {
        if self.gone {
            // Nobody reads it.
            return Ok(());
        }
        let start = self.buffer.last.len();
        let bytes = frame.write(self.framing, &mut self.buffer.last);
        if bytes > self.max_frame_bytes {
            self.buffer.last.truncate(start);
            return Err(bytes);
        }
        Ok(())
    }

    /// Empties what was written, and keeps what large frames were in.
    fn keep(&mut self, chunks: &mut Chunks) {
        chunks.clear().for_each(|chunk| self.spare.keep(chunk));
    }

    fn append_large(&mut self, chunk: Vec<u8>, attachment: Option<Vec<u8>>, bytes: usize) -> Result<(), usize> {
        if bytes > self.max_frame_bytes {
            return Err(bytes);
        }
        let again = chunk.capacity() >= LARGE_BYTES;
        self.buffer.push(chunk, again);
        if let Some(attachment) = attachment {
            // Often it is what a request has come in, and the next one is read into the same memory if it is free by then.
            self.buffer.push(attachment, false);
        }
        Ok(())
    }

    fn append_error(&mut self, id: Option<u64>, error: &Error) -> Result<(), usize> {
        let details =
            (!error.details().is_empty()).then(|| to_raw_value(error.details()).expect("a map of JSON values is JSON"));
        let body = ModuleFrame::Error(ErrorBody {
            code: if error.code().is_empty() { code::INTERNAL } else { error.code() }.into(),
            message: error.message().into(),
            details: details.as_deref(),
            retryable: error.is_retryable(),
        });
        self.append(&Frame { id, body })
    }

    /// The socket takes something again: the log lines that were kept go out, after word of those that were not.
    fn unblock_logs(&mut self) {
        let dropped = std::mem::take(&mut self.logs.dropped);
        if dropped > 0 {
            let message = format!("{dropped} log lines were dropped here: the host did not read them fast enough");
            let log = Log { level: LogLevel::Warn, message: message.into(), fields: None, trace_id: "".into() };
            let _ = self.append(&Frame { id: None, body: ModuleFrame::Log(log) });
        }
        self.logs.bytes = 0;
        for line in std::mem::take(&mut self.logs.lines) {
            self.buffer.last.extend(line);
        }
    }
}

impl Logs {
    /// Keeps a line, and drops the oldest where there are too many.
    fn keep(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > LOG_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use ixt_protocol::{CallContext, Decoder, Object, ServiceRequest};

    use super::*;

    /// Takes everything, or nothing until it is told to.
    #[derive(Debug, Default, Clone)]
    struct Fake(Arc<Mutex<FakeState>>);

    #[derive(Default)]
    struct FakeState {
        full: bool,
        written: Vec<u8>,
        writes: usize,
        waits: Option<(Chunks, usize, Done)>,
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
            // What is full takes a piece of it.
            let taken = if state.full { 3 } else { bytes.len() };
            state.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn write_later(&self, bytes: Chunks, from: usize, done: Done) {
            let waits = &mut self.0.lock().unwrap().waits;
            assert!(waits.is_none(), "two write at once");
            *waits = Some((bytes, from, done));
        }
    }

    impl Fake {
        fn set_full(&self, full: bool) {
            self.0.lock().unwrap().full = full;
        }

        /// The one who waits goes on.
        fn resume(&self) {
            let (bytes, from, done) = self.0.lock().unwrap().waits.take().expect("somebody waits");
            self.0.lock().unwrap().written.extend(bytes.slices(from).flatten());
            done(bytes, Ok(()));
        }

        /// What was written, frame by frame.
        fn frames(&self) -> Vec<String> {
            let mut decoder = Decoder::new(usize::MAX);
            decoder.input().extend_from_slice(&self.0.lock().unwrap().written);
            let mut frames = Vec::new();
            while let Some(frame) = decoder.next_frame() {
                frames.push(String::from_utf8(frame.unwrap().json.to_vec()).unwrap());
            }
            frames
        }
    }

    const LOG: Features = Features { log: true, starting: false, ready: false };

    fn log_line(message: &str) -> Log<'_> {
        Log { level: LogLevel::Info, message: message.into(), fields: None, trace_id: "".into() }
    }

    #[test]
    fn while_the_host_takes_nothing_replies_wait_and_the_oldest_log_lines_go() {
        let sink = Fake::default();
        let outgoing = Arc::new(Outgoing::new(sink.clone()));
        outgoing.set_limits(100_000, LOG);
        sink.set_full(true);
        outgoing.reply(Some(1), Err(Error::internal("first")));
        let message = "x".repeat(LOG_BYTES / 10);
        for number in 0..25 {
            assert!(outgoing.log(log_line(&format!("{number} {}", &message[..90_000]))));
            outgoing.reply(Some(100 + number), Err(Error::internal("more")));
        }
        sink.set_full(false);
        sink.resume();
        let frames = sink.frames();
        let replies = frames.iter().filter(|frame| frame.contains(r#""type":"error""#)).count();
        assert_eq!(replies, 26);
        let told = frames.iter().position(|frame| frame.contains("log lines were dropped here")).expect("it is told");
        assert!(frames[told].contains("14 log lines"), "{}", frames[told]);
        let kept: Vec<_> = frames[told + 1..].iter().map(|frame| &frame[40..43]).collect();
        assert_eq!(kept, (14..25).map(|number| format!("{number} ")).collect::<Vec<_>>());
    }

    /// What a host does not read takes no more than is stated, and is answered all the same.
    #[test]
    fn while_the_host_takes_nothing_so_much_waits_and_then_errors() {
        const REPLY_BYTES: usize = 16 << 20;
        let sink = Fake::default();
        let outgoing = Arc::new(Outgoing::new(sink.clone()));
        outgoing.set_limits(REPLY_BYTES + 1000, LOG);
        sink.set_full(true);
        let large = || Ok(Reply::new(Object::trusted(format!("{{\"a\":\"{}\"}}", "x".repeat(REPLY_BYTES)))));
        for id in 0..10 {
            outgoing.reply(Some(id), large());
            assert!(outgoing.lock().buffer.len() <= UNREAD_BYTES + REPLY_BYTES + 10_000);
        }
        let request = ServiceRequest {
            service: "s".into(),
            method: "m".into(),
            params: Object::trusted("{}"),
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
    fn the_thread_that_reads_writes_once_for_all_that_it_has_read() {
        let sink = Fake::default();
        let outgoing = Arc::new(Outgoing::new(sink.clone()));
        let reply = |id| outgoing.reply(Some(id), Err(Error::internal("no")));
        outgoing.defer_for(7);
        reply(1);
        assert_eq!(sink.0.lock().unwrap().writes, 1, "another thread writes at once");
        read_as(7);
        reply(2);
        reply(3);
        assert_eq!(sink.0.lock().unwrap().writes, 1);
        outgoing.flush();
        assert_eq!(sink.0.lock().unwrap().writes, 2);
        for id in 0..5000 {
            reply(id);
        }
        assert!(sink.0.lock().unwrap().writes > 2, "it doesn't wait for ever");
        // Its turn is another's.
        outgoing.flush();
        outgoing.defer_for(8);
        let writes = sink.0.lock().unwrap().writes;
        reply(4);
        assert_eq!(sink.0.lock().unwrap().writes, writes + 1);
        read_as(0);
        assert_eq!(sink.frames().len(), 5004);
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
        let ready = Ok(Reply::json(&"ready").unwrap());
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
        let ready = Ok(Reply::json(&"ready").unwrap());
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
}
