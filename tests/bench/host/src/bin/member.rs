//! The modules that are measured: each either sends back what it gets, or calls another as often as it is told to.

use std::sync::Arc;

use ixt_bench_wire::drive::{Drive, Payload as Sent, Record, at_once};
use ixt_sdk::Value;
use ixt_sdk::prelude::*;

ixt_sdk::include_module!();
include!(concat!(env!("OUT_DIR"), "/handler.rs"));

struct Member;

async fn echo(payload: Payload, _ctx: Context) -> Result<Response> {
    Ok(Response::new().with_bytes("result", payload))
}

async fn drive(payload: Payload, ctx: Context) -> Result<Response> {
    #[derive(serde::Deserialize)]
    struct Echoed {
        result: Bytes,
    }

    let drive: Drive = serde_json::from_slice(&payload)?;
    let topic: Arc<str> = drive.topic.as_str().into();
    let driven = match drive.payload {
        Sent::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            at_once(&drive, move || {
                let (ctx, topic, payload) = (ctx.clone(), Arc::clone(&topic), Arc::clone(&payload));
                async move {
                    let answer: Value = ctx.bus().send(topic.to_string(), &payload).await?;
                    let Echoed { result } = serde_json::from_value(answer)?;
                    check(result.len() == payload.len())
                }
            })
            .await?
        }
        Sent::Record => {
            let record = Arc::new(Record::example());
            at_once(&drive, move || {
                let (ctx, topic, record) = (ctx.clone(), Arc::clone(&topic), Arc::clone(&record));
                async move {
                    let answer: Record = ctx.bus().send_json(topic.to_string(), &*record).await?;
                    check(answer == *record)
                }
            })
            .await?
        }
    };
    Response::json(driven)
}

fn check(same: bool) -> Result<()> {
    if same { Ok(()) } else { Err(Error::internal("it did not send back what it got")) }
}

fn main() -> std::process::ExitCode {
    run::<Member>()
}
