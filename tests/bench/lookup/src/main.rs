//! How long it takes to find the generated `Topic` for a name, among 10, 100, 1,000 and 10,000 topics: every name once per
//! round, in an order that is no order. Beside it the binary search that it replaced.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ixt_bench::interface::topic;
use ixt_bench::measure;

macro_rules! topics {
    ($($name:ident)*) => {$(
        #[allow(dead_code)]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    )*};
}

topics!(topics_10 topics_100 topics_1000 topics_10000);

/// How many lookups a round has.
const LOOKUPS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("ns per lookup, median of 31 rounds; the ratio round by round, median (least–most).\n");
    println!("| topics | `str::parse::<Topic>` | binary search | parse/search |");
    println!("|---:|---:|---:|---|");
    bench(10, |name| name.parse::<topics_10::Topic>().is_ok(), topics_10::Topic::ALL, |topic| topic.as_str())?;
    bench(100, |name| name.parse::<topics_100::Topic>().is_ok(), topics_100::Topic::ALL, |topic| topic.as_str())?;
    bench(1_000, |name| name.parse::<topics_1000::Topic>().is_ok(), topics_1000::Topic::ALL, |topic| topic.as_str())?;
    bench(
        10_000,
        |name| name.parse::<topics_10000::Topic>().is_ok(),
        topics_10000::Topic::ALL,
        |topic| topic.as_str(),
    )?;
    Ok(())
}

fn bench<T: Copy>(
    topics: usize,
    parse: impl Fn(&str) -> bool,
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> Result<(), Box<dyn std::error::Error>> {
    // A step that shares no factor with the number of topics meets them all.
    let names: Vec<String> = (0..LOOKUPS).map(|index| topic(index * 7_919 % topics)).collect();
    let search = |wanted: &str| all.binary_search_by(|topic| name(*topic).cmp(wanted)).is_ok();
    let [parsed, searched] =
        measure::in_turns(31, [&mut || Ok(time(&names, &parse)), &mut || Ok(time(&names, &search))])?;
    let ns = |times: &measure::Times| times.median() * 1e6 / LOOKUPS as f64;
    println!("| {topics} | {:.1} | {:.1} | {} |", ns(&parsed), ns(&searched), parsed.ratio(&searched));
    Ok(())
}

fn time(names: &[String], find: &dyn Fn(&str) -> bool) -> Duration {
    let start = Instant::now();
    let found = names.iter().filter(|name| find(black_box(name))).count();
    assert_eq!(found, names.len());
    start.elapsed()
}
