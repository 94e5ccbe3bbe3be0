//! How many clients may be connected to a host at once, at its control socket or over HTTP. When one more connects, the
//! oldest connection on whose request the host is not working is closed: it is idle, its request has not arrived, or
//! the host waits for it to read. So clients that do nothing neither keep others out nor use up the open files that the
//! host needs for its modules.
//!
//! The control socket (`control/server.rs`) and the command's HTTP server use this.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::SetOnce;

use crate::lock::lock;

/// How long a client has to send a request, and then to read the response: 10 s. The code that serves the connection enforces it. A
/// response in many lines, such as a list of keys or a followed log, has no such limit, except for its last line.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most connections at one place, even if the host may have more files open.
const MOST_CONNECTIONS: u64 = 128;

/// One eighth of the files that the host may have open is for the connections at one place.
const PART_OF_FILES: u64 = 8;

/// The connections at one place, such as the control socket: at most an eighth of the files that this process may have
/// open (its soft limit at the time of the connection), at least 1, and at most 128. Make one for each place, and
/// [admit](Self::admit) each connection.
#[derive(Debug, Default)]
pub struct ConnectionLimit {
    /// The connections that count, the oldest first. One that has to be closed does not count.
    clients: Mutex<Vec<Arc<Client>>>,
}

/// The right to one connection, to be kept for as long as that is open. Dropping it makes room for another connection.
#[derive(Debug)]
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    client: Arc<Client>,
}

/// What is known of one connection.
#[derive(Debug, Default)]
struct Client {
    /// Whether the host is working on a request of the client. If not, the connection can be closed to make room.
    is_served: AtomicBool,
    /// Set when the connection has to be closed.
    must_close: SetOnce<()>,
}

impl ConnectionLimit {
    /// Registers a connection. If there are as many as there may be, [`must_close`](ConnectionPermit::must_close) completes for the oldest
    /// one on whose request the host is not working, and the new connection is admitted at once. `None` if the host is working on the
    /// requests of all of them: then the caller has to refuse the new connection.
    pub fn admit(self: &Arc<Self>) -> Option<ConnectionPermit> {
        self.admit_among(most_connections())
    }

    fn admit_among(self: &Arc<Self>, most: usize) -> Option<ConnectionPermit> {
        let mut clients = lock(&self.clients);
        if clients.len() >= most {
            let first = clients.iter().position(|client| !client.is_served.load(Ordering::Relaxed))?;
            let _ = clients.remove(first).must_close.set(());
        }
        let client = Arc::new(Client::default());
        clients.push(Arc::clone(&client));
        Some(ConnectionPermit { limit: Arc::clone(self), client })
    }
}

impl ConnectionPermit {
    /// Runs `work`, and until it is done, does not let the connection be closed to make room for another one. If the
    /// future is dropped before, that protection stays until the permit is dropped.
    pub async fn while_working<T>(&self, work: impl Future<Output = T>) -> T {
        self.client.is_served.store(true, Ordering::Relaxed);
        let done = work.await;
        self.client.is_served.store(false, Ordering::Relaxed);
        done
    }

    /// Runs `step`, which waits for the client, for example until it has read a part of the response. To be called within
    /// [`while_working`](Self::while_working): until `step` is done, the connection may be closed to make room. If the future is dropped
    /// before, that stays so.
    pub async fn while_sending<T>(&self, step: impl Future<Output = T>) -> T {
        self.client.is_served.store(false, Ordering::Relaxed);
        let done = step.await;
        self.client.is_served.store(true, Ordering::Relaxed);
        done
    }

    /// Waits until the connection has to be closed to make room for another one; the caller then closes it. Never
    /// completes if it need not be. Cancel-safe.
    pub async fn must_close(&self) {
        self.client.must_close.wait().await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        lock(&self.limit.clients).retain(|client| !Arc::ptr_eq(client, &self.client));
    }
}

fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((files / PART_OF_FILES).clamp(1, MOST_CONNECTIONS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_gone(permit: &ConnectionPermit) -> bool {
        permit.client.must_close.initialized()
    }

    #[tokio::test]
    async fn the_oldest_connection_that_keeps_the_host_waiting_makes_room() {
        let limit = Arc::new(ConnectionLimit::default());
        let admit = || limit.admit_among(3);
        let (one, two, three) = (admit().unwrap(), admit().unwrap(), admit().unwrap());
        one.while_working(async {
            let four = admit().unwrap();
            assert!(!has_gone(&one) && has_gone(&two) && !has_gone(&three));
            two.must_close().await;
            // While it reads its response, the host waits for it.
            let five = one.while_sending(async { admit().unwrap() }).await;
            assert!(has_gone(&one) && !has_gone(&three));
            three
                .while_working(four.while_working(five.while_working(async {
                    assert!(admit().is_none(), "the host works for all of them");
                })))
                .await;
            drop(four);
            assert!(admit().is_some());
        })
        .await;
    }
}
