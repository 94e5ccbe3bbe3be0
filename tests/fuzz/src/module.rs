//! The module that the target `session` runs. Its handlers do what handlers can do without starting a thread.

use std::time::Duration;

use ixt_sdk::prelude::*;
use tokio::sync::Mutex;

ixt_sdk::include_module!();

/// The module.
#[derive(Default)]
pub struct Fuzzed {
    watch: Mutex<Option<ixt_sdk::kv::Watch>>,
}

impl Handler for Fuzzed {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self::default())
    }

    async fn echo(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new().with_bytes("result", payload))
    }

    async fn record(&self, request: Record, _ctx: Context) -> Result<Record> {
        Ok(request)
    }

    async fn later(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        tokio::time::sleep(Duration::from_millis(payload.len() as u64)).await;
        Ok(Response::new())
    }

    async fn ask(&self, payload: Payload, ctx: Context) -> Result<Response> {
        *self.watch.lock().await = Some(ctx.kv().watch("").await?);
        let value = ctx.kv().get("key").await?;
        let answer = client::other(&ctx, &payload).await?;
        Ok(Response::new().with("answer", answer).with("found", value.is_some()))
    }

    async fn on_told(&self, _event: Payload, _ctx: Context) -> Result<()> {
        let mut watch = self.watch.lock().await;
        while let Some(watch) = watch.as_mut() {
            if watch.next().await.is_none() {
                break;
            }
        }
        Ok(())
    }
}
