//! The policy for whoever connects to a host, at its control socket or over HTTP: so many at once, and if there are more, the
//! one goes that has kept the host waiting longest. So nobody who connects and does nothing keeps others out, or takes the files
//! that the host needs for its modules.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::SetOnce;

/// How long somebody has to send a request, and to take the answer to one that has an end.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// No more at once at any place, even if there are files for more.
const MOST_CONNECTIONS: u64 = 128;

/// So large a part of the files that the host may have open is for the connections at one place; the rest is for its modules.
const PART_OF_FILES: u64 = 8;

/// Those who are connected at one place.
#[derive(Debug, Default)]
pub struct Door {
    /// In the order in which they came.
    guests: Mutex<Vec<Arc<State>>>,
}

/// One who is connected. Dropped, it makes room for another one.
#[derive(Debug)]
pub struct Guest {
    door: Arc<Door>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The host works for it, so that it is not the one who keeps anybody waiting.
    waits: AtomicBool,
    has_to_go: SetOnce<()>,
}

impl Door {
    /// Lets one in. If there are as many as there may be, the first of those goes for whom the host does not work; if it works
    /// for all of them, there is no room: `None`.
    pub fn enter(self: &Arc<Self>) -> Option<Guest> {
        self.enter_among(most_connections())
    }

    fn enter_among(self: &Arc<Self>, most: usize) -> Option<Guest> {
        let mut guests = self.lock();
        if guests.len() >= most {
            let first = guests.iter().position(|guest| !guest.waits.load(Ordering::Relaxed))?;
            let _ = guests.remove(first).has_to_go.set(());
        }
        let state = Arc::new(State::default());
        guests.push(Arc::clone(&state));
        Some(Guest { door: Arc::clone(self), state })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<State>>> {
        // Nothing that can panic happens under this lock.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// The host works for it, until `work` is done.
    pub async fn waits_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.state.waits.store(true, Ordering::Relaxed);
        let done = work.await;
        self.state.waits.store(false, Ordering::Relaxed);
        done
    }

    /// The host waits for it again, until `step` is done: for what it is to take.
    pub async fn takes<T>(&self, step: impl Future<Output = T>) -> T {
        self.state.waits.store(false, Ordering::Relaxed);
        let done = step.await;
        self.state.waits.store(true, Ordering::Relaxed);
        done
    }

    /// Waits until it has to make room for another one.
    pub async fn has_to_go(&self) {
        self.state.has_to_go.wait().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.door.lock().retain(|guest| !Arc::ptr_eq(guest, &self.state));
    }
}

fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((files / PART_OF_FILES).clamp(1, MOST_CONNECTIONS)).unwrap_or(usize::MAX)
}

/// What the limit of open files was.
static FILES_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of open files to what the system allows: a host has several for each process. Whatever is started by it has the
/// limit that was there before.
pub(crate) fn raise_file_limit() {
    let before = FILES_BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    // Where that is not allowed it stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
}

/// The limit of open files for a process that is started.
pub(crate) fn file_limit_before() -> Option<Rlimit> {
    FILES_BEFORE.get().copied()
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
            // One that takes what it is given keeps the host waiting.
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
