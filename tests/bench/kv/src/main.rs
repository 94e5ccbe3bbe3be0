//! How many values of 100 bytes per second the host's store writes and reads, with 1 and with 64 callers, and how many plain redb does
//! in a loop on the same disk: with a commit for each write, and with one for each 64.
//!
//! Both have their files in the current directory, or in the one that is the argument: `ixt-bench-kv /some/disk`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ixt_bench::measure::times_in_turns;
use ixt_host::kv::{KvStore, RedbStore, SetOptions};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use tokio::runtime::Runtime;

const ROUNDS: usize = 7;
/// Callers at once, and writes that plain redb commits together.
const CALLERS: usize = 64;
/// Writes in a round with one caller, where each waits for the disk.
const SINGLE: usize = 256;
/// Writes in a round with 64 callers.
const MANY: usize = 8192;
/// Reads in a round. At least as many as there are keys, so that the warm-up reads all of them.
const READS: usize = 20_000;
/// The number of different keys.
const KEYS: usize = 10_000;
const VALUE: [u8; 100] = [7; 100];

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

/// The key that call `number` uses: all keys, scattered, before one repeats.
fn key(number: usize) -> String {
    format!("key-{:05}", number.wrapping_mul(7919) % KEYS)
}

fn main() -> anyhow::Result<()> {
    let directory = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir_in(std::env::current_dir()?)?,
    };
    let store: Arc<dyn KvStore> = Arc::new(RedbStore::open(directory.path().join("host"))?);
    let plain = Database::create(directory.path().join("plain.redb"))?;
    let runtime = Runtime::new()?;
    let set = |count, callers| {
        runtime.block_on(run_callers(count, callers, |number| {
            let set = store.set("bench", &key(number), VALUE.to_vec(), SetOptions::default());
            async move { Ok(set.await.map(drop)?) }
        }))
    };
    let get = |callers| {
        runtime.block_on(run_callers(READS, callers, |number| {
            let get = store.get("bench", &key(number));
            async move { get.await?.map(drop).context("there is such a key") }
        }))
    };

    // Both have all keys before anything is measured.
    set(KEYS, CALLERS)?;
    write_plain(&plain, KEYS, KEYS)?;

    println!("| | callers | a second | of plain redb's |\n|---|---:|---:|---|");
    let [single, plain_single] =
        times_in_turns(ROUNDS, [&mut || set(SINGLE, 1), &mut || write_plain(&plain, SINGLE, 1)])?;
    let [many, plain_many] =
        times_in_turns(ROUNDS, [&mut || set(MANY, CALLERS), &mut || write_plain(&plain, MANY, CALLERS)])?;
    let [read, read_at_once, plain_read] =
        times_in_turns(ROUNDS, [&mut || get(1), &mut || get(CALLERS), &mut || read_plain(&plain)])?;
    for (what, callers, count, times, peer) in [
        ("set", "1", SINGLE, &single, Some(&plain_single)),
        ("plain redb, a commit for each write", "", SINGLE, &plain_single, None),
        ("set", "64", MANY, &many, Some(&plain_many)),
        ("plain redb, a commit for 64 writes", "", MANY, &plain_many, None),
        ("get", "1", READS, &read, Some(&plain_read)),
        ("get", "64", READS, &read_at_once, Some(&plain_read)),
        ("plain redb, a transaction for each read", "", READS, &plain_read, None),
    ] {
        let rate = count as f64 / (times.median() / 1e3);
        let ratio = peer.map(|peer| peer.ratio(times).to_string()).unwrap_or_default();
        println!("| {what} | {callers} | {rate:.0} | {ratio} |");
    }
    Ok(())
}

/// Makes `count` calls of the store by `callers` tasks, each of which makes one call after the other. Returns the time of all.
async fn run_callers<F>(count: usize, callers: usize, start: impl Fn(usize) -> F) -> anyhow::Result<Duration>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut tasks = Vec::with_capacity(callers);
    for caller in 0..callers {
        // Futures of the store do nothing before they are awaited.
        let calls: Vec<F> = (caller..count).step_by(callers).map(&start).collect();
        tasks.push(async move {
            for call in calls {
                call.await?;
            }
            anyhow::Ok(())
        });
    }
    let begin = Instant::now();
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    for task in tasks {
        task.await??;
    }
    Ok(begin.elapsed())
}

/// Writes `count` values, with a commit for every `each` of them. Returns the time of all.
fn write_plain(database: &Database, count: usize, each: usize) -> anyhow::Result<Duration> {
    let keys: Vec<String> = (0..count).map(key).collect();
    let begin = Instant::now();
    for keys in keys.chunks(each) {
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for key in keys {
            table.insert(key.as_str(), &VALUE[..])?;
        }
        drop(table);
        transaction.commit()?;
    }
    Ok(begin.elapsed())
}

/// Reads [`READS`] values, each in a transaction of its own. Returns the time of all.
fn read_plain(database: &Database) -> anyhow::Result<Duration> {
    let keys: Vec<String> = (0..READS).map(key).collect();
    let begin = Instant::now();
    for key in &keys {
        let table = database.begin_read()?.open_table(TABLE)?;
        let value = table.get(key.as_str())?.context("there is such a key")?.value().to_vec();
        anyhow::ensure!(value.len() == VALUE.len());
    }
    Ok(begin.elapsed())
}
