//! The signals that end a module. The launcher waits for the first one, and begins the shutdown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, and SIGINT from a terminal. The first one begins a shutdown; the second one, of either kind, ends the process at once, with the
/// status 128 plus its number. After this is dropped, both signals are ignored.
pub(crate) struct Signals {
    signals: [Signal; 2],
    registered: Vec<SigId>,
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

impl Signals {
    /// Installs the signal handlers. Needs the tokio runtime's I/O driver.
    ///
    /// # Errors
    ///
    /// If a handler can't be installed.
    pub(crate) fn new() -> io::Result<Self> {
        let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let (came, mut registered) = (Arc::new(AtomicBool::new(false)), Vec::new());
        for number in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, and then sets it.
            let shutdown = signal_hook::flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&came))?;
            registered.extend([shutdown, signal_hook::flag::register(number, Arc::clone(&came))?]);
        }
        Ok(Self { signals, registered })
    }

    /// Waits for the first signal. Returns at once if it has come since [`new`](Self::new).
    pub(crate) async fn received(&mut self) {
        let [terminate, interrupt] = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
