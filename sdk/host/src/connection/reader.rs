//! Reads a module's socket. It pauses while the module leaves too many bytes unread, while the module's writes to the store take too much
//! memory, and while a large frame of the module has no room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ixt_protocol::FrameDecoder;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::incoming::NextStep;
use super::limits::READING_BYTES;
use super::send_buffer::FrameClass;
use super::socket_halves::Reader;
use super::{Connection, Services};
use crate::bus::WriteBatch;
use crate::lock::lock;
use crate::standstill;

/// How long after the last read the memory that a large frame has needed is freed.
const SPARE_MEMORY_TIMEOUT: Duration = Duration::from_millis(200);

/// A frame that needs no more memory than this, in bytes, needs no [room](READING_BYTES).
const SMALL_FRAME_BYTES: usize = 256 * 1024;
/// How long a module has to send the rest of a larger frame once that has room, in addition to a second for each
/// [`LARGE_FRAME_BYTES_PER_SECOND`]. A module that takes longer is ended, since others may wait for the room.
const LARGE_FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// The rate that the time beyond [`LARGE_FRAME_TIMEOUT`] assumes: 1 MiB a second.
const LARGE_FRAME_BYTES_PER_SECOND: usize = 1024 * 1024;

/// A large frame that is not complete, with its room. The room is given back when this is dropped.
struct LargeFrame {
    _room: OwnedSemaphorePermit,
    /// When it has to be complete.
    deadline: Instant,
}

/// The task that reads, until the module hangs up, `init` fails, the module does not complete a large frame in time, or it sends
/// something after which no reply could be assigned. Then no more calls and events are taken, and [`Connection::closed`] completes.
/// Requests without a reply stay until the connection is closed.
pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, services: impl Services) {
    let mut decoder = FrameDecoder::new(connection.max_frame_bytes);
    let mut batch = WriteBatch::new();
    let mut large: Option<LargeFrame> = None;
    loop {
        let unfinished = decoder.unfinished().min(READING_BYTES);
        if unfinished <= SMALL_FRAME_BYTES {
            large = None;
        }
        // From a module that does not read what it is sent, no more is read: so it makes no more calls.
        let deadline = large.as_ref().map(|large| large.deadline);
        if before(deadline, connection.send_buffer.room(FrameClass::HostRequest.limit())).await.is_none() {
            if is_extended(&mut large) {
                continue;
            }
            connection.end_for_unfinished_frame();
            break;
        }
        let needs_room = unfinished > SMALL_FRAME_BYTES && large.is_none();
        if connection.work.used() > 0 || needs_room {
            connection.is_read.store(false, Ordering::Relaxed);
            if connection.work.used() > 0 {
                connection.work.room().await;
            }
            if needs_room {
                large = take_room(&connection, unfinished).await;
            }
            connection.is_read.store(true, Ordering::Relaxed);
        }
        let deadline = large.as_ref().map(|large| large.deadline);
        let spare = decoder.is_oversized().then(|| Instant::now() + SPARE_MEMORY_TIMEOUT);
        // Not with `try_read`, which needs one more system call to learn that nothing is left.
        match before(deadline.or(spare), reader.read_buf(decoder.input())).await {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => break,
            None if is_extended(&mut large) => continue,
            None if large.is_some() => {
                connection.end_for_unfinished_frame();
                break;
            }
            None => {
                decoder.shrink();
                continue;
            }
        }
        let goes_on = take_frames(&mut decoder, &connection, &services, &mut batch);
        batch.flush();
        if !goes_on {
            break;
        }
    }
    connection.take_only_shutdown();
    lock(&connection.init_reply).take();
    let _ = connection.hung_up.set(());
}

/// Waits, without a timeout, until there is room for a large frame, and takes it. `bytes` is how much memory the frame
/// needs. Never `None`: the semaphore is not closed.
async fn take_room(connection: &Connection, bytes: usize) -> Option<LargeFrame> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let room = Arc::clone(&connection.reading).acquire_many_owned(permits).await.ok()?;
    let time = LARGE_FRAME_TIMEOUT + Duration::from_secs((bytes / LARGE_FRAME_BYTES_PER_SECOND) as u64);
    Some(LargeFrame { _room: room, deadline: Instant::now() + time })
}

/// If this process has stood still within the last [`LARGE_FRAME_TIMEOUT`], gives a large frame that long from now.
/// Returns whether it did; false without a large frame.
fn is_extended(large: &mut Option<LargeFrame>) -> bool {
    match large {
        Some(large) if standstill::runs_for() < LARGE_FRAME_TIMEOUT => {
            large.deadline = Instant::now() + LARGE_FRAME_TIMEOUT;
            true
        }
        _ => false,
    }
}

/// Waits for `work`. Returns `None` if the deadline passes first; `deadline` is `None` for no limit.
async fn before<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// Handles the frames that are complete. False if no more are to be read.
fn take_frames(
    decoder: &mut FrameDecoder,
    connection: &Arc<Connection>,
    services: &dyn Services,
    batch: &mut WriteBatch,
) -> bool {
    while let Some(frame) = decoder.next_frame() {
        let then = match frame {
            Ok(frame) => connection.receive(frame, services, batch),
            Err(error) => connection.not_a_frame(&error.to_string(), services, batch),
        };
        match then {
            NextStep::GoOn => {}
            NextStep::SwitchTo(framing) => decoder.set_framing(framing),
            NextStep::Stop => return false,
        }
    }
    true
}

impl Connection {
    /// Sets the reason for ending the process: it did not complete a large frame in time.
    fn end_for_unfinished_frame(&self) {
        let seconds = LARGE_FRAME_TIMEOUT.as_secs();
        self.set_end_reason(format!(
            "it was ended: it has sent a part of a large frame, and not the rest within {seconds} s and a second for each MiB"
        ));
    }
}
