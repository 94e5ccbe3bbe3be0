//! The test harness: runs a module without a process and without a socket, but its requests go through the same code as those of a
//! real host. A [`Host`] in memory starts the module's `Handler`, calls it with the types of the manifest, stands in for the
//! services that the module requires, keeps its key-value store, and records what it logs and publishes. Time is tokio's: in
//! [`run`] it is paused, so that a test of deadlines takes no time. All `async` handlers run in one task: one that blocks its
//! thread blocks the module. Methods of `blocking` services run on threads of tokio's blocking pool. `IXT_MAX_CONCURRENCY` is not
//! read: the limits are those of the launcher.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/documentation/greeter.rs"));
//! use ixt_sdk::testing::{self, Host};
//!
//! # /*
//! #[test]
//! # */
//! fn a_guest_is_greeted_and_others_are_told() {
//!     testing::run(async {
//!         let host = Host::new()
//!             .stub(client::NOTIFICATIONS_SEND, async |_message| Ok(client::notifications::Outcome::Queued));
//!         let greeter = host.start(module::<Greeter>(), Config::default()).await?;
//!         let reply = greeter.call(services::GREET, &GreetRequest { name: "Ada".into() }).await?;
//!         assert_eq!(reply.text, "Hello, Ada!");
//!         assert_eq!(greeter.published(publish::GREETED)?, [GreetedPayload { name: "Ada".into() }]);
//!         greeter.shutdown().await
//!     });
//! }
//! # fn main() {
//! #     a_guest_is_greeted_and_others_are_told();
//! # }
//! ```
//!
//! [`Pipe`] runs a module without any host: the test writes and reads bytes. [`serve`] runs a module with your own host at the other end
//! of a byte stream.
//!
//! All this needs the feature `testing`, in your `[dev-dependencies]`.

mod host;
mod host_end;
mod kv;
mod module;
mod observed;
mod pipe;
mod serve;

use std::time::Duration;

pub use host::Host;
pub use module::{Module, TestCall};
pub use observed::{Log, Sent, Starting};
pub use pipe::Pipe;
pub use serve::serve;

use crate::error::Result;

/// Runs a test to its end on a new tokio runtime with one thread and a paused clock: whenever all tasks wait, the clock jumps to
/// the next timer. There is no timeout: a test that waits for what never comes hangs. While a method of a `blocking` service or the
/// work of `ixt_sdk::blocking` runs, it does not jump. When the test has ended, the tasks that are left are dropped, without
/// `Handler::shutdown`, and blocking work that still runs is waited for.
///
/// # Panics
///
/// If the test returns an error, or panics, or if this is called within a tokio runtime.
pub fn run(test: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    if let Err(error) = runtime.block_on(test) {
        panic!("the test has failed: {error}; details: {}", serde_json::json!(error.details()));
    }
}

/// Advances the paused clock. Timers whose time has come fire. Their tasks may not have run when this returns: they run when the test waits
/// next, such as for a reply. A test that only waits needs no call of this: the clock jumps by itself.
///
/// # Panics
///
/// If the clock is not paused (in [`run`] it is), if this is polled outside of a tokio runtime, or if `time` is too long for the
/// clock, such as `Duration::MAX`.
pub async fn advance(time: Duration) {
    tokio::time::advance(time).await;
}
