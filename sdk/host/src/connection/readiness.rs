//! Whether a module takes calls and events. The module says so in two ways: by `ready` frames, and by `ready` in its
//! health reports. Before its reply to `init` it gets none in any case.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A module is ready unless its last `ready` frame or its last health report said `false`. Before the first of each it is ready.
#[derive(Default)]
pub(super) struct Readiness {
    /// Whether the last `ready` frame said `false`.
    frame_says_no: AtomicBool,
    /// Whether the last health report said `false`.
    report_says_no: AtomicBool,
    /// Wakes the tasks in [`ready`](Self::ready).
    became_ready: Notify,
    on_change: OnceLock<Box<dyn Fn(bool) + Send + Sync>>,
}

impl Readiness {
    /// Whether the module is ready now: neither way says `false`.
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

    /// Sets the callback for changes, which gets whether the module is ready. It must not block. Only the first call of
    /// this sets it.
    pub(super) fn on_change(&self, callback: impl Fn(bool) + Send + Sync + 'static) {
        let _ = self.on_change.set(Box::new(callback));
    }

    /// Records a `ready` frame.
    pub(super) fn set_by_frame(&self, ready: bool) {
        self.set(&self.frame_says_no, ready);
    }

    /// Records a health report; one without `ready` counts as `true`.
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
