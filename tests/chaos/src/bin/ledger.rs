//! A module that records each request that enters a handler, so that the handled requests can be compared with the sent ones.

use std::fs::File;
use std::io::Write as _;

use ixt_chaos::request;
use ixt_sdk::prelude::*;

include!(concat!(env!("OUT_DIR"), "/ledger.rs"));

struct Ledger {
    entries: File,
}

impl Ledger {
    /// Records a request, with one write, so that a process that is killed leaves whole lines.
    fn enter(&self, payload: &Payload) -> Result<Response> {
        let id = request::id(payload).ok_or_else(|| Error::invalid_input("the payload begins with no id"))?;
        (&self.entries).write_all(format!("{id}\n").as_bytes())?;
        Ok(Response::new().with("id", id).with("sum", request::sum(payload)))
    }
}

impl Handler for Ledger {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self { entries: File::options().append(true).create(true).open(&config.entries)? })
    }

    async fn ledger_once(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        self.enter(&payload)
    }

    async fn ledger_again(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        self.enter(&payload)
    }

    async fn ledger_keep(&self, payload: Payload, ctx: Context) -> Result<Response> {
        let response = self.enter(&payload)?;
        let key = request::id(&payload).map(|id| id.to_string()).unwrap_or_default();
        ctx.kv().set(&key, &*payload).await?;
        Ok(response)
    }
}

fn main() -> std::process::ExitCode {
    run::<Ledger>()
}
