//! The same module with few services and with many, to count the instructions that it takes to find one of them.

use ixt_sdk::testing::Pipe;

/// The topic of the service that is called; it echoes.
pub const CALLED: &str = "department00.object.action0000";

/// A module of which one service is called.
macro_rules! with_topics {
    ($start:ident, $name:ident, $methods:literal) => {
        mod $name {
            use ixt_sdk::prelude::*;

            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            include!(concat!(env!("OUT_DIR"), $methods));

            pub(crate) struct Counted;

            impl Handler for Counted {
                async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
                    Ok(Self)
                }

                async fn department00_object_action0000(&self, payload: Payload, _ctx: Context) -> Result<Response> {
                    Ok(Response::new().with_bytes("result", payload))
                }

                never_called!();
            }
        }

        /// Starts it.
        ///
        /// # Errors
        ///
        /// Those of [`Pipe::new`].
        pub fn $start() -> ixt_sdk::Result<Pipe> {
            Pipe::new($name::module::<$name::Counted>())
        }
    };
}

with_topics!(few, few_topics, "/few_topics_methods.rs");
// It takes long to compile, and only `../count` needs it.
#[cfg(many_topics)]
with_topics!(many, many_topics, "/many_topics_methods.rs");
