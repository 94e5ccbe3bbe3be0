//! The shutdown of a module: how it begins, how the grace period is divided, and how it ends the session.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::code;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{End, Session, Stage, shutting_down};
use crate::catch_panic::caught;
use crate::error::{Error, Result};
use crate::log::log_error;
use crate::module::Serve;
use crate::reply::Reply;
use crate::requests::{Step, StepClass, spawn};

/// The grace period if the host does not set one, after a signal, and if the host is gone. Also the limit for writing the last frames.
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Why a module shuts down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ShutdownCause {
    /// The host has sent `shutdown`, with this id.
    Asked { id: Option<u64> },
    /// The host has closed the connection.
    HostGone,
    /// The process got SIGTERM or SIGINT.
    Signal,
}

impl Session {
    /// To be called when the host has closed the connection: ends the module's own calls and begins the shutdown.
    pub(crate) fn host_gone(self: &Arc<Self>) {
        self.calls.close();
        self.shutdown(ShutdownCause::HostGone, None);
    }

    /// Begins the shutdown, and returns at once. Queued requests are answered with `UNAVAILABLE`, retryable. A task then
    ///
    /// 1. waits for the requests that run, `init` among them, for half of `grace` at most, and answers the rest with `UNAVAILABLE`;
    /// 2. calls `Handler::shutdown` with the other half as its limit, unless `init` has not succeeded;
    /// 3. replies to the host if it has sent `shutdown`, and ends the session.
    ///
    /// `grace` is 5 seconds if it is `None`. If a shutdown runs already, this only answers a `shutdown` frame, with `UNAVAILABLE`. In each
    /// call, the function of [`before_shutdown`](Self::before_shutdown) is called first.
    pub(crate) fn shutdown(self: &Arc<Self>, cause: ShutdownCause, grace: Option<Duration>) {
        if let Some(act) = self.before_shutdown.get() {
            act(cause);
        }
        if self.enter(Stage::ShuttingDown) == Stage::ShuttingDown {
            if let ShutdownCause::Asked { id } = cause {
                self.outgoing.reply(id, Err(shutting_down()));
            }
            return;
        }
        let _ = self.stopping.set(());
        self.requests.abort_queued(shutting_down);
        let grace = grace.unwrap_or(DEFAULT_GRACE);
        let this = Arc::clone(self);
        self.tokio.spawn(self.log_scope().enclose(async move {
            if timeout(grace / 2, this.requests.idle()).await.is_err() {
                this.requests.abort_all(shutting_down).await;
            }
            // Not before: `init` may have been among the requests that ran.
            let closed = match this.requests.service() {
                None => Ok(()),
                Some(service) => this.close(Arc::clone(service), grace / 2).await,
            };
            if let Err(error) = &closed {
                log_error(format!("`shutdown` failed: {error}"));
                error.log_causes(&"`shutdown`");
            }
            let end = if closed.is_ok() { End::Clean } else { End::Failed };
            if let ShutdownCause::Asked { id } = cause {
                this.outgoing.reply(id, closed.and_then(|()| Reply::json(&json!({}))));
            }
            let _ = this.ended.set(end);
        }));
    }

    /// Calls `Handler::shutdown` like a handler, so that it may block its thread, and waits for it.
    ///
    /// # Errors
    ///
    /// Its own; `INTERNAL` if it panics, or no thread can run it; `DEADLINE_EXCEEDED` if it has not returned after `grace`, when its future
    /// is dropped.
    async fn close(&self, service: Arc<dyn Serve>, grace: Duration) -> Result<()> {
        let (sender, closed) = oneshot::channel();
        let work = self.log_scope().enclose(async move { caught("`shutdown`", || service.shutdown()).await });
        let (runnable, task) = spawn(&self.executor, None, async move { drop(sender.send(work.await)) });
        self.executor.schedule(Step::Resume(runnable), StepClass::Urgent);
        let closed = timeout(grace, closed).await;
        drop(task);
        match closed {
            Ok(Ok(closed)) => closed,
            Ok(Err(_)) => Err(Error::internal("`shutdown` was dropped")),
            Err(_) => Err(Error::new(code::DEADLINE_EXCEEDED, format!("`shutdown` took more than {grace:?}"))),
        }
    }
}
