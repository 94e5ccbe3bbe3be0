//! Whether a module takes calls and events, as it says itself: by `ready` frames, and by `ready` in its health reports.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A module is ready unless one of its two ways to say so says otherwise.
#[derive(Default)]
pub(super) struct Readiness {
    /// The last `ready` frame said no.
    frame_says_no: AtomicBool,
    /// The last health report said no.
    report_says_no: AtomicBool,
    became_ready: Notify,
    on_change: OnceLock<Box<dyn Fn(bool) + Send + Sync>>,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        !self.frame_says_no.load(Ordering::SeqCst) && !self.report_says_no.load(Ordering::SeqCst)
    }

    /// Waits until the module is ready. Cancel-safe.
    pub(super) async fn ready(&self) {
        loop {
            let became_ready = self.became_ready.notified();
            tokio::pin!(became_ready);
            // From here on no notification is missed.
            became_ready.as_mut().enable();
            if self.is_ready() {
                return;
            }
            became_ready.await;
        }
    }

    /// Sets what is called whenever readiness changes, with whether the module is ready. The first one stays.
    pub(super) fn on_change(&self, callback: impl Fn(bool) + Send + Sync + 'static) {
        let _ = self.on_change.set(Box::new(callback));
    }

    /// A `ready` frame has come.
    pub(super) fn set_by_frame(&self, ready: bool) {
        self.set(&self.frame_says_no, ready);
    }

    /// A health report has come.
    pub(super) fn set_by_report(&self, ready: bool) {
        self.set(&self.report_says_no, ready);
    }

    fn set(&self, says_no: &AtomicBool, ready: bool) {
        let was_ready = self.is_ready();
        says_no.store(!ready, Ordering::SeqCst);
        let is_ready = self.is_ready();
        if is_ready {
            self.became_ready.notify_waiters();
        }
        if was_ready != is_ready
            && let Some(on_change) = self.on_change.get()
        {
            on_change(is_ready);
        }
    }
}
