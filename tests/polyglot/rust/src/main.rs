//! The same as the modules in Python and Node.js beside this one, with this project's SDK: it echoes bytes, calls the topic that a request
//! names, stores keys and values, and logs.

use std::process::ExitCode;
use std::time::Duration;

use ixt_sdk::prelude::*;
use ixt_sdk::{LogLevel, LogLine, Priority, encode_payload, log};
use serde::Deserialize;

ixt_sdk::include_module!();

struct Pair {
    config: Config,
    runtime: Runtime,
}

/// A request to call another module: the topic, and the payload.
#[derive(Deserialize)]
struct Relay {
    topic: String,
    payload: String,
    priority: Option<Priority>,
    ttl_ms: Option<u64>,
}

/// A request to read or write a key.
#[derive(Deserialize)]
struct Keep {
    op: String,
    key: String,
    #[serde(default)]
    value: String,
}

impl Handler for Pair {
    async fn init(config: Config, runtime: Runtime) -> Result<Self> {
        runtime.starting("learns Rust", Duration::from_secs(1));
        Ok(Self { config, runtime })
    }

    async fn rust_echo(&self, payload: Payload, ctx: Context) -> Result<Response> {
        Ok(Response::new()
            .with_bytes("result", payload)
            .with("trace_id", ctx.trace_id())
            .with("source_module", ctx.source_module())
            .with("module_id", self.runtime.module_id())
            .with("priority", ctx.priority()))
    }

    async fn rust_relay(&self, payload: Payload, ctx: Context) -> Result<Response> {
        let relay: Relay = payload.to_json()?;
        let mut call = ctx.bus().send(relay.topic, relay.payload);
        if let Some(priority) = relay.priority {
            call = call.priority(priority);
        }
        if let Some(ttl_ms) = relay.ttl_ms {
            call = call.ttl(Duration::from_millis(ttl_ms));
        }
        // The callee's error goes back as it is.
        Response::json(call.await?)
    }

    async fn rust_kv(&self, payload: Payload, ctx: Context) -> Result<Response> {
        let Keep { op, key, value } = payload.to_json()?;
        let (kv, response) = (ctx.kv(), Response::new());
        Ok(match op.as_str() {
            "get" => match kv.entry(&key).await? {
                Some(entry) => {
                    let response = response.with("found", true).with("value", encode_payload(&entry.value));
                    response.with("revision", entry.revision)
                }
                None => response.with("found", false),
            },
            "set" => response.with("revision", kv.set(&key, value).await?),
            "delete" => response.with("deleted", kv.delete(&key).await?),
            "exists" => response.with("exists", kv.exists(&key).await?),
            _ => return Err(Error::invalid_input(format!("`{op}` is none of get, set, delete and exists"))),
        })
    }

    async fn rust_log(&self, payload: Payload, _ctx: Context) -> Result<Response> {
        let text = payload.to_text()?;
        log(text);
        LogLine::new(LogLevel::Info, text).field("language", "rust").write();
        Ok(Response::new())
    }

    async fn rust_config(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new().with("greeting", &self.config.greeting))
    }
}

fn main() -> ExitCode {
    run::<Pair>()
}
