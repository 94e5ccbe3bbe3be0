//! The modules that are measured. Which services one has, its manifest says: `echo.*` and `record` send back what they get, `drive.*`
//! run a workload, that is, call another module.

use std::sync::Arc;

use ixt_bench_wire::load::{Payload as Sent, Record, Workload, run_workload};
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

    let workload: Workload = serde_json::from_slice(&payload)?;
    let topic: Arc<str> = workload.topic.as_str().into();
    let timing = match workload.payload {
        Sent::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            run_workload(&workload, move || {
                let (ctx, topic, payload) = (ctx.clone(), Arc::clone(&topic), Arc::clone(&payload));
                async move {
                    let Echoed { result } = ctx.bus().send(topic.to_string(), &payload).returning().await?;
                    check(result.len() == payload.len())
                }
            })
            .await?
        }
        Sent::Record => {
            let record = Arc::new(Record::example());
            run_workload(&workload, move || {
                let (ctx, topic, record) = (ctx.clone(), Arc::clone(&topic), Arc::clone(&record));
                async move {
                    let reply: Record = ctx.bus().send_json(topic.to_string(), &*record).await?;
                    check(reply == *record)
                }
            })
            .await?
        }
    };
    Response::json(timing)
}

fn check(same: bool) -> Result<()> {
    if same { Ok(()) } else { Err(Error::internal("it did not send back what it got")) }
}

fn main() -> std::process::ExitCode {
    run::<Member>()
}
