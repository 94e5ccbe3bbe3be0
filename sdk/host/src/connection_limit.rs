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
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most connections at one place, however many files the host may have open.
const MOST_CONNECTIONS: u64 = 128;

/// The connections at one place may be as many as this fraction (one eighth) of the files that the host may have open.
const PART_OF_FILES: u64 = 8;

/// The connections at one place, such as the control socket.
#[derive(Debug, Default)]
pub struct ConnectionLimit {
    /// The oldest first.
    clients: Mutex<Vec<Arc<Client>>>,
}

/// The right to one connection. It ends when this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    client: Arc<Client>,
}

#[derive(Debug, Default)]
struct Client {
    /// Whether the host works on a request of the client. If not, the connection can be closed for another one.
    is_served: AtomicBool,
    /// Set when the connection has to be closed.
    must_close: SetOnce<()>,
}

impl ConnectionLimit {
    /// Registers a connection. If there are as many as there may be, the oldest for which the host does not work is told to
    /// [close](ConnectionPermit::must_close). `None` if the host works for all of them: then the new one has to be refused.
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
    /// Marks the client as one that the host works for until `work` is done, so that the connection is not closed for another one.
    pub async fn while_working<T>(&self, work: impl Future<Output = T>) -> T {
        self.client.is_served.store(true, Ordering::Relaxed);
        let done = work.await;
        self.client.is_served.store(false, Ordering::Relaxed);
        done
    }

    /// Marks the client, within [`while_working`](Self::while_working), as one that the host waits for until `step` is done: such as to read a
    /// part of the response.
    pub async fn while_sending<T>(&self, step: impl Future<Output = T>) -> T {
        self.client.is_served.store(false, Ordering::Relaxed);
        let done = step.await;
        self.client.is_served.store(true, Ordering::Relaxed);
        done
    }

    /// Waits until the connection has to be closed for another one. Cancel-safe.
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
    async fn the_first_one_that_keeps_the_host_waiting_makes_room() {
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
