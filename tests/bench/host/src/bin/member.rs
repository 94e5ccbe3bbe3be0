//! The modules that are measured: each either sends back what it gets, or calls another as often as it is told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_bench_host::{Drive, Driven};
use ixt_sdk::Value;
use ixt_sdk::prelude::*;

ixt_sdk::include_module!();
include!(concat!(env!("OUT_DIR"), "/handler.rs"));

struct Member;

async fn echo(payload: Payload, _ctx: Context) -> Result<Response> {
    Ok(Response::new().with_bytes("result", payload))
}

async fn drive(payload: Payload, ctx: Context) -> Result<Response> {
    let Drive { topic, bytes, depth, calls } = serde_json::from_slice(&payload)?;
    let (topic, payload): (Arc<str>, Arc<[u8]>) = (topic.into(), vec![b'x'; bytes].into());
    let begin = Instant::now();
    let callers: Vec<_> = (0..depth)
        .map(|caller| {
            let (ctx, topic, payload) = (ctx.clone(), Arc::clone(&topic), Arc::clone(&payload));
            tokio::spawn(async move {
                let mut trips = Vec::with_capacity(calls / depth + 1);
                for _ in (caller..calls).step_by(depth) {
                    let start = Instant::now();
                    let answer: Value = ctx.bus().send(topic.to_string(), &payload).await?;
                    trips.push(start.elapsed());
                    if answer["result"].as_str().is_none_or(|text| text.len() < payload.len()) {
                        return Err(Error::internal("it did not send back what it got"));
                    }
                }
                Result::Ok(trips)
            })
        })
        .collect();
    let mut trips: Vec<Duration> = Vec::with_capacity(calls);
    for caller in callers {
        trips.extend(caller.await??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    trips.sort_unstable();
    let at = |quantile: f64| trips[((trips.len() - 1) as f64 * quantile) as usize].as_secs_f64();
    Response::json(Driven { seconds, p50: at(0.5), p99: at(0.99) })
}

fn main() -> std::process::ExitCode {
    run::<Member>()
}
