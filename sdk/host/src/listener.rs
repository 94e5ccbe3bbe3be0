//! How many clients may be connected to a host at once, at its control socket or over HTTP. When one more connects, the oldest connection
//! that is idle, or slow to send or to read, is closed. So clients that do nothing neither keep others out nor use up the files that the
//! host needs for its modules.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::SetOnce;

use crate::lock::lock;

/// The timeout for a client to send a request, and to read the response to one that has an end.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The most connections at one place, however many files the host may have open.
const MOST_CONNECTIONS: u64 = 128;

/// The connections at one place may be as many as this fraction (one eighth) of the files that the host may have open.
const PART_OF_FILES: u64 = 8;

/// The connections at one place, such as the control socket.
#[derive(Debug, Default)]
pub struct Door {
    /// The oldest first.
    guests: Mutex<Vec<Arc<State>>>,
}

/// The right to one connection. It ends when this is dropped.
#[derive(Debug)]
pub struct Guest {
    door: Arc<Door>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the host works on a request of the client. If not, the connection can be closed for another one.
    waits: AtomicBool,
    /// Set when the connection has to be closed.
    has_to_go: SetOnce<()>,
}

impl Door {
    /// Registers a connection. If there are as many as there may be, the oldest for which the host does not work is told to
    /// [close](Guest::has_to_go). `None` if the host works for all of them: then the new one has to be refused.
    pub fn enter(self: &Arc<Self>) -> Option<Guest> {
        self.enter_among(most_connections())
    }

    fn enter_among(self: &Arc<Self>, most: usize) -> Option<Guest> {
        let mut guests = lock(&self.guests);
        if guests.len() >= most {
            let first = guests.iter().position(|guest| !guest.waits.load(Ordering::Relaxed))?;
            let _ = guests.remove(first).has_to_go.set(());
        }
        let state = Arc::new(State::default());
        guests.push(Arc::clone(&state));
        Some(Guest { door: Arc::clone(self), state })
    }
}

impl Guest {
    /// Marks the client as one that the host works for until `work` is done, so that the connection is not closed for another one.
    pub async fn waits_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.state.waits.store(true, Ordering::Relaxed);
        let done = work.await;
        self.state.waits.store(false, Ordering::Relaxed);
        done
    }

    /// Marks the client, within [`waits_for`](Self::waits_for), as one that the host waits for until `step` is done: such as to read a
    /// part of the response.
    pub async fn takes<T>(&self, step: impl Future<Output = T>) -> T {
        self.state.waits.store(false, Ordering::Relaxed);
        let done = step.await;
        self.state.waits.store(true, Ordering::Relaxed);
        done
    }

    /// Waits until the connection has to be closed for another one. Cancel-safe.
    pub async fn has_to_go(&self) {
        self.state.has_to_go.wait().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.door.guests).retain(|guest| !Arc::ptr_eq(guest, &self.state));
    }
}

fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((files / PART_OF_FILES).clamp(1, MOST_CONNECTIONS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_gone(guest: &Guest) -> bool {
        guest.state.has_to_go.initialized()
    }

    #[tokio::test]
    async fn the_first_one_that_keeps_the_host_waiting_makes_room() {
        let door = Arc::new(Door::default());
        let enter = || door.enter_among(3);
        let (one, two, three) = (enter().unwrap(), enter().unwrap(), enter().unwrap());
        one.waits_for(async {
            let four = enter().unwrap();
            assert!(!has_gone(&one) && has_gone(&two) && !has_gone(&three));
            two.has_to_go().await;
            // While it reads its response, the host waits for it.
            let five = one.takes(async { enter().unwrap() }).await;
            assert!(has_gone(&one) && !has_gone(&three));
            three
                .waits_for(four.waits_for(five.waits_for(async {
                    assert!(enter().is_none(), "the host works for all of them");
                })))
                .await;
            drop(four);
            assert!(enter().is_some());
        })
        .await;
    }
}
