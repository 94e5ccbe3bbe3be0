//! When the file is settled, and what is known of one that was not.

use ::redb::{Database, ReadableDatabase as _};

use super::*;
use crate::kv::redb::tables::StoreState;
use crate::kv::redb::transaction::WriteTables;
use crate::kv::redb::usage::Usage;

/// The file's database, while there is no store, or why it can't be opened.
fn open(disk: &Arc<Disk>) -> Result<(Database, StoreState), String> {
    file::open(fenced(Arc::clone(disk) as Arc<_>)).map_err(|failure| failure.to_string())
}

const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

fn is_settled(database: &Database) -> bool {
    database.begin_read().unwrap().open_table(COUNTERS).unwrap().get("settled").unwrap().is_some()
}

/// Ends that the file is settled, and changes nothing else.
fn unsettle(disk: &Arc<Disk>) {
    let (database, _) = open(disk).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(COUNTERS).unwrap().remove("settled").unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn writes_that_change_nothing_do_not_put_it_off() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "key", b"value").await;
    let written = disk.written.load(Ordering::SeqCst);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while disk.written.load(Ordering::SeqCst) == written {
        assert_eq!(store.delete(SPACE, "none", None).await, Ok(false));
        assert!(std::time::Instant::now() < patience, "it is not settled");
    }
    drop(store);
    assert!(is_settled(&open(&disk).unwrap().0));
}

#[tokio::test]
async fn counts_of_a_damaged_file_are_not_taken_for_exact() {
    quiet_panics();
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "large", &vec![7; 100_000]).await;
    set(&store, "small", b"1").await;
    drop(store);
    unsettle(&disk);
    disk.damage_page_of(&[7; 1000]);

    let store = on(&disk);
    store.get(SPACE, "large").await.unwrap_err();
    assert_eq!(get(&store, "small").await.as_deref(), Some(&b"1"[..]));
    set(&store, "small", b"2").await;
    drop(store);
    let (database, state) = open(&disk).unwrap();
    assert!(!is_settled(&database));
    assert_eq!(state.usage(SPACE), Usage { keys: 2, bytes: 100_000 + 2 * 5 + 1 }, "the last usage that is known");
    assert_eq!(state.revision, 3);
}

#[tokio::test]
async fn a_store_that_was_closed_is_settled_whatever_has_failed_before() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let before = set(&store, "key", b"1").await;
    drop(store);
    let store = on(&disk);
    disk.fail_syncs(1);
    store.set(SPACE, "key", b"2".to_vec(), SetOptions::default()).await.unwrap_err();
    drop(store);
    let store = on(&disk);
    let next = set(&store, "key", b"3").await;
    assert!((before + 1..=before + 2).contains(&next), "after a write has failed: {next}");

    // The file is settled a second after the last write, and that fails.
    let mut last = next;
    loop {
        disk.fail_syncs(1);
        let patience = std::time::Instant::now() + Duration::from_secs(5);
        let has_failed = || disk.failing_syncs.load(Ordering::SeqCst) == 0;
        while !has_failed() && std::time::Instant::now() < patience {
            tokio::task::yield_now().await;
        }
        if has_failed() {
            break;
        }
        // The machine stood still, and it was settled before.
        disk.fail_syncs(0);
        last = set(&store, "key", b"again").await;
    }
    drop(store);
    let store = on(&disk);
    assert_eq!(set(&store, "key", b"4").await, last + 1);
    // Nothing can be written while the store is closed, and then it can: it is settled when the store is closed.
    disk.fail_syncs(usize::MAX);
    store.set(SPACE, "key", b"5".to_vec(), SetOptions::default()).await.unwrap_err();
    disk.fail_syncs(0);
    drop(store);
    let next = set(&on(&disk), "key", b"6").await;
    assert!((last + 2..=last + 3).contains(&next), "after the disk has failed: {next}");
}

#[tokio::test]
async fn the_keys_of_a_file_that_can_not_be_read_are_not_guessed() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "settled", &[1; 100]).await;
    drop(store);
    {
        // Not settled, and closed, so that not all of it is read anyway.
        let (database, state) = open(&disk).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut tables = WriteTables::open(&transaction, &state).unwrap();
        for key in ["a", "b"] {
            let set = tables.set(SPACE, key, &mut vec![1; 5000], SetOptions::default(), &Quotas::each(FILE_QUOTA));
            set.unwrap().unwrap();
        }
        tables.finish().unwrap();
        transaction.commit().unwrap();
    }
    let exact = Usage { keys: 3, bytes: 107 + 2 * 5001 };
    for readable in 0.. {
        disk.allow_reads(Some(readable));
        let opened = open(&disk);
        let left = disk.readable.lock().unwrap().take();
        match opened {
            Ok((_, state)) => assert_eq!(state.usage(SPACE), exact, "after {readable} reads"),
            Err(failure) => assert!(failure.contains("can't be read"), "{failure}"),
        }
        if left > Some(0) {
            break;
        }
    }
}
