//! How long it takes to find the generated `Topic` for a name, among 10, 100, 1,000 and 10,000 topics, against a binary search among the
//! same topics. The names that are looked up are scattered over all topics.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ixt_bench::measure::{Times, times_in_turns};
use ixt_bench_codegen::interface::topic;

macro_rules! topics {
    ($($name:ident)*) => {$(
        #[allow(dead_code)]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    )*};
}

topics!(topics_10 topics_100 topics_1000 topics_10000);

const ROUNDS: usize = 31;
/// Lookups in a round.
const LOOKUPS: usize = 200_000;

macro_rules! bench {
    ($topics:literal, $name:ident) => {
        bench($topics, &|wanted| wanted.parse::<$name::Topic>().is_ok(), &|wanted| {
            $name::Topic::ALL.binary_search_by(|topic| topic.as_str().cmp(wanted)).is_ok()
        })?
    };
}

fn main() -> anyhow::Result<()> {
    println!("ns per lookup, median of {ROUNDS} rounds; the ratio round by round, median (min–max).\n");
    println!("| topics | `str::parse::<Topic>` | binary search | parse/search |");
    println!("|---:|---:|---:|---|");
    bench!(10, topics_10);
    bench!(100, topics_100);
    bench!(1_000, topics_1000);
    bench!(10_000, topics_10000);
    Ok(())
}

fn bench(topics: usize, parse: &dyn Fn(&str) -> bool, search: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    // 7,919 is a prime that divides no number of topics, so all topics are looked up before one repeats.
    let names: Vec<String> = (0..LOOKUPS).map(|index| topic(index * 7_919 % topics)).collect();
    let [parsed, searched] =
        times_in_turns(ROUNDS, [&mut || Ok(time(&names, parse)), &mut || Ok(time(&names, search))])?;
    let ns = |times: &Times| times.median() * 1e6 / LOOKUPS as f64;
    println!("| {topics} | {:.1} | {:.1} | {} |", ns(&parsed), ns(&searched), parsed.ratio(&searched));
    Ok(())
}

/// Looks up all names, which must be found. Returns the time of all.
fn time(names: &[String], find: &dyn Fn(&str) -> bool) -> Duration {
    let start = Instant::now();
    let found = names.iter().filter(|name| find(black_box(name))).count();
    assert_eq!(found, names.len());
    start.elapsed()
}
