//! Tests of a module without a process and without a socket: a [`Host`] in memory starts the module's `Handler` and calls
//! it with the types of the manifest, through the same code that serves a real host. It stands in for the services that the
//! module requires, keeps its KV store, and remembers what it logs and publishes. Time is tokio's: in [`run`] it stands
//! still, so that a test of deadlines takes none.
//!
//! ```ignore
//! use ixt_sdk::testing::{self, Host};
//!
//! #[test]
//! fn an_order_is_placed_and_the_customer_is_told() {
//!     testing::run(async {
//!         let host = Host::new().stub(client::NOTIFICATIONS_SEND, async |message| Ok(Receipt { id: 1 }));
//!         let orders = host.start(module::<Orders>(), Config::default()).await?;
//!         let request = OrdersPlaceRequest { sku: "A-1".into(), quantity: 3, note: None };
//!         let order = orders.call(services::ORDERS_PLACE, &request).await?;
//!         assert_eq!(order.quantity, 3);
//!         assert_eq!(orders.published(publish::ORDERS_PLACED)?.len(), 1);
//!         orders.shutdown().await
//!     });
//! }
//! ```
//!
//! [`Pipe`] is the same without a host: bytes in, bytes out.
//!
//! It is behind the feature `testing`, for `[dev-dependencies]`.

mod host;
mod kv;
mod module;
mod pipe;

use std::time::Duration;

pub use host::Host;
pub use module::{Log, Module, Request, Sent};
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
