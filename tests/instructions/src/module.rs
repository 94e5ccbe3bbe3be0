//! The module whose instructions are counted: it does as little as a module can.

use ixt_sdk::prelude::*;

ixt_sdk::include_module!();

pub(crate) struct Counted;

impl Handler for Counted {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self)
    }

    async fn echo(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new().with_bytes("result", payload))
    }

    async fn record(&self, request: Record, _ctx: Context) -> Result<Record> {
        Ok(request)
    }
}
