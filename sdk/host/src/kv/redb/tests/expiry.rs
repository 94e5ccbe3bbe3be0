//! Keys that expire.

use super::*;
use crate::kv::redb::expiry;
use crate::kv::redb::transaction::WriteTables;

#[test]
fn a_key_that_expires_while_a_transaction_is_open_does_not_exist_for_its_later_writes() {
    let (database, state) =
        file::open(fenced(Arc::new(InMemoryBackend::new()))).unwrap_or_else(|failure| panic!("{failure}"));
    let transaction = database.begin_write().unwrap();
    let mut tables = WriteTables::open(&transaction, &state).unwrap();
    let quotas = Quotas::each(FILE_QUOTA);
    for key in ["set", "deleted"] {
        tables.set(SPACE, key, &mut vec![1], ttl(Duration::from_millis(1)), &quotas).unwrap().unwrap();
    }
    let over = expiry::now() + 3;
    while expiry::now() < over {
        std::thread::yield_now();
    }
    let absent = SetOptions { expected_revision: Some(0), ttl: Some(Duration::from_secs(10)) };
    assert!(tables.set(SPACE, "set", &mut vec![2], absent, &quotas).unwrap().is_ok());
    assert_eq!(tables.delete(SPACE, "deleted", None).unwrap(), Ok(0));
    // The time to live of a write begins with it.
    let outcome = tables.finish().unwrap();
    transaction.commit().unwrap();
    let stored = Snapshot::of(&database).unwrap().get(SPACE, "set").unwrap().unwrap();
    assert!(stored.expiry.unwrap() >= over + 10_000, "{:?}", stored.expiry);
    assert_eq!(outcome.written.len(), 3);
}

#[test]
fn no_key_expires_early() {
    // The clock is read in whole milliseconds: the write may come at the end of this one.
    assert_eq!(expiry::expiry(1000, Duration::from_millis(5)), 1006);
    assert_eq!(expiry::expiry(1000, Duration::from_micros(4_100)), 1006);
    assert_eq!(expiry::expiry(1000, Duration::ZERO), 1000, "at once");
    assert_eq!(expiry::expiry(1000, Duration::MAX), u64::MAX);
}

#[test]
fn an_expiry_without_a_key_is_no_change_of_it() {
    let (database, state) =
        file::open(fenced(Arc::new(InMemoryBackend::new()))).unwrap_or_else(|failure| panic!("{failure}"));
    let transaction = database.begin_write().unwrap();
    // As in a damaged file.
    transaction.open_table(tables::EXPIRIES).unwrap().insert((1, SPACE, "none"), ()).unwrap();
    let mut tables = WriteTables::open(&transaction, &state).unwrap();
    assert_eq!(tables.expire().unwrap(), 1);
    let outcome = tables.finish().unwrap();
    let [(_, change)] = &outcome.written[..] else { panic!("{} changes", outcome.written.len()) };
    assert!(!change.existed);
}
