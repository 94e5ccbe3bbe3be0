//! A module that passes requests on to the ledger.

use ixt_sdk::prelude::*;

include!(concat!(env!("OUT_DIR"), "/relay.rs"));

struct Relay;

impl Handler for Relay {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self)
    }

    async fn relay_once(&self, payload: Payload, ctx: Context) -> Result<Response> {
        let answer = client::ledger_once(&ctx, &payload).await?;
        Ok(Response::new().with("answer", answer))
    }
}

fn main() -> std::process::ExitCode {
    run::<Relay>()
}
