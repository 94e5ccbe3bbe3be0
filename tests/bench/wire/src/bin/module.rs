//! The module that is measured: services that send back what they get, and one that computes.

use std::time::{Duration, Instant};

use ixt_sdk::prelude::*;

ixt_sdk::include_module!();

struct Bench;

impl Handler for Bench {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self)
    }

    async fn echo(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new().with_bytes("result", payload))
    }

    async fn later(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        Ok(Response::new().with_bytes("result", payload))
    }

    async fn record(&self, request: Record, _ctx: Context) -> Result<Record> {
        Ok(request)
    }

    async fn compute(&self, request: ComputeRequest, _ctx: Context) -> Result<Response> {
        let end = Instant::now() + Duration::from_millis(request.ms.unsigned_abs());
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok(Response::new())
    }
}

fn main() -> std::process::ExitCode {
    // The plain way that `machinery` compares with: no thread of its own that reads, and one thread for all tasks.
    if std::env::var("IXT_BENCH_PLAIN").is_ok_and(|plain| plain.split(',').any(|what| what == "tasks")) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        return runtime.block_on(module::<Bench>().run_async());
    }
    run::<Bench>()
}
