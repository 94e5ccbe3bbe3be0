//! Reads a module's socket, as fast as the host can take it: what is limited is what waits for the module, what the host works on for
//! it, and the large frames that all modules send.

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

/// How long after the last read the memory of large frames is given back.
const SPARE_MEMORY_TIMEOUT: Duration = Duration::from_millis(200);

/// A frame up to this size, in bytes, is read without taking [room](READING_BYTES) for it.
const SMALL_FRAME_BYTES: usize = 256 * 1024;
/// How long a module has to send a larger frame, beside the time for its bytes. Then it is ended, since others may wait for the
/// room.
const LARGE_FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes of a larger frame a module has to send in a second.
const LARGE_FRAME_BYTES_PER_SECOND: usize = 1024 * 1024;

/// A large frame that is not complete.
struct LargeFrame {
    _room: OwnedSemaphorePermit,
    /// When it has to be.
    deadline: Instant,
}

/// Reads until the module hangs up, or there is no use in reading on.
pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, services: impl Services) {
    let mut decoder = FrameDecoder::new(connection.max_frame_bytes);
    let mut batch = WriteBatch::new();
    let mut large: Option<LargeFrame> = None;
    loop {
        let unfinished = decoder.unfinished().min(READING_BYTES);
        if unfinished <= SMALL_FRAME_BYTES {
            large = None;
        }
        // A module that does not read its responses can make no more calls.
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
        // Not with `try_read`, which reads once more to learn that there is no more.
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

/// Waits until there is room for a large frame.
async fn take_room(connection: &Connection, bytes: usize) -> Option<LargeFrame> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let room = Arc::clone(&connection.reading).acquire_many_owned(permits).await.ok()?;
    let time = LARGE_FRAME_TIMEOUT + Duration::from_secs((bytes / LARGE_FRAME_BYTES_PER_SECOND) as u64);
    Some(LargeFrame { _room: room, deadline: Instant::now() + time })
}

/// Gives a large frame its time again if this process stood still meanwhile. False if it did not, or there is no such frame.
fn is_extended(large: &mut Option<LargeFrame>) -> bool {
    match large {
        Some(large) if standstill::runs_for() < LARGE_FRAME_TIMEOUT => {
            large.deadline = Instant::now() + LARGE_FRAME_TIMEOUT;
            true
        }
        _ => false,
    }
}

/// What `work` gives, or `None` once the deadline has passed.
async fn before<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// Takes the frames that have come. False if no more are to be read.
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
    fn end_for_unfinished_frame(&self) {
        let seconds = LARGE_FRAME_TIMEOUT.as_secs();
        self.set_end_reason(format!(
            "it was ended: it has sent a part of a large frame, and not the rest within some {seconds} s"
        ));
    }
}
