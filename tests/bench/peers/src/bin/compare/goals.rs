//! The goals of this project's speed, and whether they are met.

use std::fmt::Write as _;
use std::time::Duration;

use ixt_bench::measure::Ratio;
use ixt_bench_wire::load::Payload;

use crate::contestants::{ATTACHED, HOST, JSON_PEERS, MODULE, NATS, RAW, RAW_ATTACHED, ROUTED, TONIC};
use crate::machine::payload;
use crate::rounds::{Results, Sample};
use crate::{PAYLOADS, Part};

/// The goal for each of the payloads, in the order of [`PAYLOADS`]. The last payloads may have none.
enum Bounds<'a> {
    AtMost(&'a [f64]),
    AtLeast(&'a [f64]),
}

/// A figure of a sample.
type Of = fn(&Sample) -> Option<Duration>;

const P50: Of = |sample| Some(sample.p50);
/// The time of a call at a depth of 64.
const TIME: Of = |sample| sample.in_flight[0].map(|cost| cost.time);
/// The processor time of what is called, for a call at a depth of 64.
const CALLEE: Of = |sample| sample.in_flight[0].map(|cost| cost.callee);

/// The section of the report. It has the goals whose contestants were measured.
pub fn section(results: &Results) -> String {
    use Bounds::{AtLeast, AtMost};
    use Part::{Pinned, Unpinned};
    let ratio = |part, one: &'static str, of: Of, other: &'static str, of_other: Of| {
        move |payload| {
            Some(results.times(part, payload, one, of)?.ratio(&results.times(part, payload, other, of_other)?))
        }
    };
    // The rate of this project to that of the fastest peer that speaks JSON, both at a depth of 64.
    let against_json = |part, ours: &'static str| {
        move |payload| {
            let peers = JSON_PEERS.iter().filter_map(|peer| results.times(part, payload, peer, TIME));
            let best = peers.min_by(|a, b| a.median().total_cmp(&b.median()))?;
            Some(best.ratio(&results.times(part, payload, ours, TIME)?))
        }
    };
    type Measure<'a> = Box<dyn Fn(Payload) -> Option<Ratio> + 'a>;
    let goals: [(&str, Bounds, Measure); 16] = [
        ("pinned: p50/A, lines", AtMost(&[1.5, 1.65, 2.4, 2.4]), Box::new(ratio(Pinned, MODULE, P50, RAW, P50))),
        (
            "pinned: rate/A at a depth of 64, lines",
            AtLeast(&[0.28, 0.36, 0.55, 0.41]),
            Box::new(ratio(Pinned, RAW, TIME, MODULE, TIME)),
        ),
        (
            "pinned: the module's processor time at a depth of 64/A's p50",
            AtMost(&[0.13, 0.24, 1.9]),
            Box::new(ratio(Pinned, MODULE, CALLEE, RAW, P50)),
        ),
        (
            "pinned: p50/A, attached",
            AtMost(&[1.5, 1.5, 1.4, 1.4]),
            Box::new(ratio(Pinned, ATTACHED, P50, RAW_ATTACHED, P50)),
        ),
        (
            "pinned: rate at a depth of 64, host → module/the best JSON peer",
            AtLeast(&[5.0, 6.0, 3.7]),
            Box::new(against_json(Pinned, HOST)),
        ),
        ("pinned: the same, lean client → module", AtLeast(&[6.0, 4.5, 3.7]), Box::new(against_json(Pinned, MODULE))),
        (
            "pinned: rate at a depth of 64, host → module/tonic",
            AtLeast(&[10.0, 9.0, 1.2]),
            Box::new(ratio(Pinned, TONIC, TIME, HOST, TIME)),
        ),
        (
            "pinned: the same, lean client → module",
            AtLeast(&[10.0, 7.0, 1.2]),
            Box::new(ratio(Pinned, TONIC, TIME, MODULE, TIME)),
        ),
        (
            "unpinned: rate at a depth of 64, host → module/the best JSON peer",
            AtLeast(&[3.0, 2.5, 2.3]),
            Box::new(against_json(Unpinned, HOST)),
        ),
        (
            "unpinned: the same, lean client → module",
            AtLeast(&[3.0, 2.5, 2.3]),
            Box::new(against_json(Unpinned, MODULE)),
        ),
        (
            "pinned: rate at a depth of 64, module → host → module/NATS",
            AtLeast(&[1.3, 1.3, 2.0]),
            Box::new(ratio(Pinned, NATS, TIME, ROUTED[0], TIME)),
        ),
        (
            "pinned: the same, inside the handler",
            AtLeast(&[1.3, 1.3, 2.0]),
            Box::new(ratio(Pinned, NATS, TIME, ROUTED[1], TIME)),
        ),
        (
            "pinned: p50, module → host → module/NATS",
            AtMost(&[0.65, 0.7, 0.8]),
            Box::new(ratio(Pinned, ROUTED[0], P50, NATS, P50)),
        ),
        (
            "pinned: the same, inside the handler",
            AtMost(&[0.65, 0.7, 0.8]),
            Box::new(ratio(Pinned, ROUTED[1], P50, NATS, P50)),
        ),
        (
            "unpinned: rate at a depth of 64, module → host → module/NATS",
            AtLeast(&[1.3, 1.3, 1.5]),
            Box::new(ratio(Unpinned, NATS, TIME, ROUTED[0], TIME)),
        ),
        (
            "unpinned: the same, inside the handler",
            AtLeast(&[1.3, 1.3, 1.5]),
            Box::new(ratio(Unpinned, NATS, TIME, ROUTED[1], TIME)),
        ),
    ];
    let mut text = "## Goals\n\n| | payload | goal | measured | |\n|---|---|---|---|---|\n".to_owned();
    for (what, bounds, measure) in goals {
        let (sign, bounds) = match bounds {
            AtMost(bounds) => ("≤", bounds),
            AtLeast(bounds) => ("≥", bounds),
        };
        for (of, bound) in PAYLOADS.into_iter().zip(bounds) {
            let Some(measured) = measure(of) else { continue };
            let met = if sign == "≤" { measured.median <= *bound } else { measured.median >= *bound };
            let met = if met { "met" } else { "missed" };
            let _ = writeln!(text, "| {what} | {} | {sign} {bound} | {measured} | {met} |", payload(of));
        }
    }
    text
}
