//! The quick-start module of IXT's Python and Node.js SDKs, in Rust: two services that take raw bytes, without types in the manifest. For
//! typed services see `examples/orders`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use ixt_sdk::prelude::*;

ixt_sdk::include_module!();

struct Echo {
    /// From the configuration. It is only shown: there is no database.
    database_url: String,
    /// How many requests have come, for the health check.
    requests: AtomicU64,
}

impl Handler for Echo {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        ixt_sdk::log(format!("Connecting to database: {}", config.database_url));
        Ok(Self { database_url: config.database_url, requests: AtomicU64::new(0) })
    }

    /// Replies with the payload, as base64 under `result`.
    async fn my_service_process(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new().with_bytes("result", payload))
    }

    /// Replies with a sentence about the payload, as base64 under `data`. Fails if the payload is not UTF-8.
    async fn my_service_query(&self, payload: Payload, ctx: Context) -> Result<Response> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = format!("{} of {}: {}", ctx.topic(), self.database_url, payload.to_text()?);
        Ok(Response::new().with_bytes("data", answer))
    }

    /// Always healthy, with the number of requests as a detail.
    async fn health_check(&self) -> Result<Health> {
        Ok(Health::healthy().detail("requests_processed", self.requests.load(Ordering::Relaxed)))
    }

    async fn shutdown(&self) -> Result<()> {
        ixt_sdk::log("Shutting down module");
        Ok(())
    }
}

fn main() -> ExitCode {
    run::<Echo>()
}

#[cfg(test)]
mod tests {
    use ixt_sdk::testing::{self, Host};
    use ixt_sdk::{encode_payload, json};

    use super::*;

    #[test]
    fn what_is_sent_comes_back() {
        testing::run(async {
            let module = Host::new().start(module::<Echo>(), Config::default()).await?;
            let hello = Payload::from(b"hello".to_vec());
            let answer = module.call(services::MY_SERVICE_PROCESS, &hello).await?;
            assert_eq!(answer, json!({ "result": encode_payload("hello") }));
            let answer = module.call(services::MY_SERVICE_QUERY, &hello).await?;
            assert_eq!(answer["data"], encode_payload("my.service.query of sqlite:///data.db: hello"));
            assert_eq!(module.health().await?.details()["requests_processed"], 2);
            module.shutdown().await?;
            assert_eq!(module.logs().last().unwrap().message, "Shutting down module");
            Ok(())
        });
    }
}
