//! Tests of a module without a process and without a socket: a [`Host`] in memory starts the module's `Handler` and calls
//! it with the types of the manifest, through the same code that serves a real host. It stands in for the services that the
//! module requires, keeps its KV store, and remembers what it logs and publishes. Time is tokio's: in [`run`] it stands
//! still, so that a test of deadlines takes none.
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
//! [`Pipe`] is the same without a host: bytes in, bytes out.
//!
//! It is behind the feature `testing`, for `[dev-dependencies]`.

mod host;
mod host_end;
mod kv;
mod module;
mod observed;
mod pipe;

use std::time::Duration;

pub use host::Host;
pub use module::{Module, Request};
pub use observed::{Log, Sent, Starting};
pub use pipe::Pipe;

use crate::Result;

/// Runs a test on a runtime of its own, with a clock that stands still: whenever everything waits, it jumps to when the
/// next of them has waited long enough.
///
/// # Panics
///
/// If the test fails with an error, or panics.
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

/// Lets time pass.
pub async fn advance(time: Duration) {
    tokio::time::advance(time).await;
}
