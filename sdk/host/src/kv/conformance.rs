//! A test of what every [`KvStore`] has to do, for authors of a store (feature `conformance`): [`check`] runs all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Change, KvError, KvStore, MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_VALUE_BYTES, Page, SetOptions, Watch};

/// How long the test waits for something that has to come at once, or after a short time to live. If it has not come by
/// then, the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// A time to live after which nothing expires during the test.
const LONG: Duration = Duration::from_secs(3600);

/// Tests a store. It may hold data, but not in namespaces whose names begin with `conformance-`; in these the test leaves keys. A store
/// with quotas needs one of 16 MiB at least. A change that does not come within 30 s is a failure; other calls have no timeout. Needs a
/// tokio runtime with a timer.
///
/// # Panics
///
/// If the store does not do what [`KvStore`] promises.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use ixt_host::kv::{RedbStore, conformance};
///
/// conformance::check(Arc::new(RedbStore::ephemeral()?)).await;
/// # Ok(())
/// # }
/// ```
pub async fn check(store: Arc<dyn KvStore>) {
    let store = &store;
    what_is_written_is_read(store).await;
    namespaces_are_apart(store).await;
    revisions_grow(store).await;
    expected_revisions(store).await;
    limits(store).await;
    pages(store).await;
    expiry(store).await;
    watching(store).await;
    a_slow_watcher_sees_the_last_change_of_each_key(store).await;
    counting_at_once(store).await;
}

async fn set(store: &Arc<dyn KvStore>, namespace: &str, key: &str, value: &[u8]) -> u64 {
    store.set(namespace, key, value.to_vec(), SetOptions::default()).await.expect("a value can be set")
}

async fn get(store: &Arc<dyn KvStore>, namespace: &str, key: &str) -> Option<(Vec<u8>, u64)> {
    let entry = store.get(namespace, key).await.expect("a key can be read");
    assert_eq!(store.exists(namespace, key).await, Ok(entry.is_some()), "`exists` and `get` agree");
    entry.map(|entry| (entry.value, entry.revision))
}

async fn list(store: &Arc<dyn KvStore>, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> Page {
    store.list(namespace, prefix, after, limit).await.expect("keys can be listed")
}

async fn next(watch: &mut Watch) -> Change {
    timeout(PATIENCE, watch.next()).await.expect("a change comes").expect("the watch goes on")
}

fn ttl(ttl: Duration) -> SetOptions {
    SetOptions { ttl: Some(ttl), ..SetOptions::default() }
}

fn expecting(revision: u64) -> SetOptions {
    SetOptions { expected_revision: Some(revision), ..SetOptions::default() }
}

async fn what_is_written_is_read(store: &Arc<dyn KvStore>) {
    let space = "conformance-read";
    assert_eq!(get(store, space, "a").await, None);
    assert_eq!(store.delete(space, "a", None).await, Ok(false), "there was nothing to delete");
    let first = set(store, space, "a", b"1").await;
    assert_eq!(get(store, space, "a").await, Some((b"1".to_vec(), first)));
    let second = set(store, space, "a", b"").await;
    assert_eq!(get(store, space, "a").await, Some((Vec::new(), second)), "a value may be empty");
    assert_eq!(store.delete(space, "a", None).await, Ok(true));
    assert_eq!(get(store, space, "a").await, None);

    let odd = "a/b.c*> \0\u{1f600}";
    let revision = set(store, space, odd, &[0, 255, 10]).await;
    assert_eq!(get(store, space, odd).await, Some((vec![0, 255, 10], revision)), "a key is any text");
    assert_eq!(list(store, space, "", None, 10).await.keys, [odd]);
}

async fn namespaces_are_apart(store: &Arc<dyn KvStore>) {
    let (one, other) = ("conformance-one", "conformance-one-more");
    let mut watch = store.watch(other, "").await.expect("keys can be watched");
    let revision = set(store, one, "key", b"one").await;
    assert_eq!(get(store, other, "key").await, None);
    let in_other = set(store, other, "key", b"other").await;
    assert_eq!(next(&mut watch).await.revision, in_other, "a watch gets changes of its namespace alone");
    assert_eq!(get(store, one, "key").await, Some((b"one".to_vec(), revision)));
    assert_eq!(store.delete(other, "key", None).await, Ok(true));
    assert_eq!(list(store, one, "", None, 10).await.keys, ["key"]);
    assert_eq!(list(store, other, "", None, 10).await.keys, [""; 0]);
}

async fn revisions_grow(store: &Arc<dyn KvStore>) {
    let space = "conformance-revisions";
    let mut last = 0;
    for round in 0..3 {
        let mut watch = store.watch(space, "").await.expect("keys can be watched");
        let set = set(store, space, "key", b"same").await;
        assert!(set > last, "the revision {set} of round {round} is not greater than {last}");
        assert_eq!(next(&mut watch).await.revision, set);
        assert_eq!(store.delete(space, "key", None).await, Ok(true));
        let deleted = next(&mut watch).await.revision;
        assert!(deleted > set, "a removal is a write: {deleted} is to be greater than {set}");
        last = deleted;
    }
}

async fn expected_revisions(store: &Arc<dyn KvStore>) {
    let space = "conformance-expected";
    let set = |value: &[u8], revision| store.set(space, "key", value.to_vec(), expecting(revision));
    let mismatch = |expected, actual| KvError::RevisionMismatch { key: "key".to_owned(), expected, actual };

    assert_eq!(set(b"x", 7).await, Err(mismatch(7, 0)), "there is no such key");
    assert_eq!(store.delete(space, "key", Some(7)).await, Err(mismatch(7, 0)));
    assert_eq!(store.delete(space, "key", Some(0)).await, Ok(false));
    let first = set(b"1", 0).await.expect("there is no such key, as expected");
    assert_eq!(set(b"2", 0).await, Err(mismatch(0, first)));
    let second = set(b"2", first).await.expect("it has the revision that is expected");
    assert_eq!(set(b"3", first).await, Err(mismatch(first, second)));
    assert_eq!(store.delete(space, "key", Some(first)).await, Err(mismatch(first, second)));
    assert_eq!(get(store, space, "key").await, Some((b"2".to_vec(), second)), "what failed has written nothing");
    assert_eq!(store.delete(space, "key", Some(second)).await, Ok(true));
    set(b"4", 0).await.expect("there is no such key again");
}

async fn limits(store: &Arc<dyn KvStore>) {
    let space = "conformance-limits";
    let longest = "k".repeat(MAX_KEY_BYTES);
    let revision = set(store, space, &longest, &vec![1; MAX_VALUE_BYTES]).await;
    assert_eq!(get(store, space, &longest).await, Some((vec![1; MAX_VALUE_BYTES], revision)));
    // Sizes around those at which a store may keep values in another way. Each value replaces the one before.
    for bytes in [4096, 4097, 65_536, 65_537, 200_000, 1] {
        let value: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        let revision = set(store, space, "sized", &value).await;
        assert!(get(store, space, "sized").await == Some((value, revision)), "a value of {bytes} bytes");
    }

    for (key, error) in [
        (String::new(), KvError::EmptyKey),
        (format!("{longest}k"), KvError::KeyTooLong { bytes: MAX_KEY_BYTES + 1, max: MAX_KEY_BYTES }),
    ] {
        assert_eq!(store.get(space, &key).await, Err(error.clone()));
        assert_eq!(store.exists(space, &key).await, Err(error.clone()));
        assert_eq!(store.delete(space, &key, None).await, Err(error.clone()));
        assert_eq!(store.set(space, &key, Vec::new(), SetOptions::default()).await, Err(error));
    }
    let too_long = store.set(space, "key", vec![1; MAX_VALUE_BYTES + 1], SetOptions::default()).await;
    assert_eq!(too_long, Err(KvError::ValueTooLong { bytes: MAX_VALUE_BYTES + 1, max: MAX_VALUE_BYTES }));
    assert_eq!(get(store, space, "key").await, None);
}

async fn pages(store: &Arc<dyn KvStore>) {
    let space = "conformance-pages";
    assert_eq!(list(store, space, "", None, 10).await, Page::default());
    for key in ["b/2", "a", "b/10", "c", "b/1", "b", "b0"] {
        set(store, space, key, b"x").await;
    }
    store.set(space, "b/0", Vec::new(), ttl(Duration::ZERO)).await.expect("a time to live may be over at once");
    let page = |keys: &[&str], next: Option<&str>| Page {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        next: next.map(str::to_owned),
    };
    assert_eq!(list(store, space, "", None, 10).await, page(&["a", "b", "b/1", "b/10", "b/2", "b0", "c"], None));
    assert_eq!(list(store, space, "b/", None, 10).await, page(&["b/1", "b/10", "b/2"], None));
    assert_eq!(list(store, space, "b/", None, 3).await, page(&["b/1", "b/10", "b/2"], None), "no more follow");
    assert_eq!(list(store, space, "b/", None, 2).await, page(&["b/1", "b/10"], Some("b/10")));
    assert_eq!(list(store, space, "b/", Some("b/10"), 2).await, page(&["b/2"], None));
    assert_eq!(list(store, space, "b/", Some("b/11"), 2).await, page(&["b/2"], None), "`after` needn't exist");
    assert_eq!(list(store, space, "b/", Some("a"), 1).await, page(&["b/1"], Some("b/1")), "`after` is before them");
    assert_eq!(list(store, space, "b/", Some("c"), 2).await, page(&[], None), "`after` is behind them");
    assert_eq!(list(store, space, "x", None, 2).await, page(&[], None));
    assert_eq!(list(store, space, "", None, 0).await, page(&["a"], Some("a")), "a limit of 0 is one of 1");

    let many = "conformance-many-pages";
    let mut writes = JoinSet::new();
    for number in 0..=MAX_PAGE_KEYS {
        writes.spawn(store.set(many, &format!("{number:04}"), Vec::new(), SetOptions::default()));
    }
    assert!(writes.join_all().await.iter().all(Result::is_ok));
    let first = list(store, many, "", None, usize::MAX).await;
    assert_eq!((first.keys.len(), first.next.as_ref()), (MAX_PAGE_KEYS, first.keys.last()));
    let rest = list(store, many, "", first.next.as_deref(), usize::MAX).await;
    assert_eq!(rest, page(&[&format!("{MAX_PAGE_KEYS:04}")], None));
}

async fn expiry(store: &Arc<dyn KvStore>) {
    let space = "conformance-expiry";
    let mut watch = store.watch(space, "").await.expect("keys can be watched");
    let revision = set(store, space, "key", b"kept").await;
    assert_eq!(next(&mut watch).await.revision, revision);

    // If the key expires before its change is read, the change is the expiry.
    let short = Duration::from_millis(30);
    let revision = store.set(space, "key", b"short".to_vec(), ttl(short)).await.expect("a value can be set");
    let mut gone = next(&mut watch).await;
    if gone.value.is_some() {
        assert_eq!((gone.revision, gone.value.as_deref()), (revision, Some(&b"short"[..])));
        gone = next(&mut watch).await;
    }
    assert_eq!((gone.key.as_str(), gone.value), ("key", None), "an expiry is a change");
    assert!(gone.revision > revision);
    assert_eq!(get(store, space, "key").await, None);

    // An expired key does not exist, even if the store has not removed it yet.
    for _ in 0..50 {
        store.set(space, "key", b"over".to_vec(), ttl(Duration::ZERO)).await.expect("a value can be set");
        assert_eq!(get(store, space, "key").await, None);
        assert_eq!(store.delete(space, "key", None).await, Ok(false));
        let revision = store.set(space, "key", b"new".to_vec(), expecting(0)).await.expect("there is no such key");
        assert_eq!(get(store, space, "key").await, Some((b"new".to_vec(), revision)));
    }

    // A write removes or replaces the time to live of the write before.
    store.set(space, "stays", b"1".to_vec(), ttl(short)).await.expect("a value can be set");
    let stays = set(store, space, "stays", b"2").await;
    store.set(space, "longer", b"1".to_vec(), ttl(short)).await.expect("a value can be set");
    let longer = store.set(space, "longer", b"2".to_vec(), ttl(LONG)).await.expect("a value can be set");
    store.set(space, "deleted", b"1".to_vec(), ttl(short)).await.expect("a value can be set");
    store.delete(space, "deleted", None).await.expect("a key can be deleted");
    let deleted = set(store, space, "deleted", b"2").await;
    let mut watch = store.watch(space, "last").await.expect("keys can be watched");
    set(store, space, "last", b"1").await;
    next(&mut watch).await;
    store.set(space, "last", b"2".to_vec(), ttl(short)).await.expect("a value can be set");
    while next(&mut watch).await.value.is_some() {}
    assert_eq!(get(store, space, "stays").await, Some((b"2".to_vec(), stays)));
    assert_eq!(get(store, space, "longer").await, Some((b"2".to_vec(), longer)));
    assert_eq!(get(store, space, "deleted").await, Some((b"2".to_vec(), deleted)));
    store.set(space, "never", b"1".to_vec(), ttl(Duration::MAX)).await.expect("a time to live may be endless");
    assert!(get(store, space, "never").await.is_some());
}

async fn watching(store: &Arc<dyn KvStore>) {
    let space = "conformance-watch";
    set(store, space, "a/old", b"0").await;
    let mut narrow = store.watch(space, "a/").await.expect("keys can be watched");
    let mut wide = store.watch(space, "").await.expect("keys can be watched");
    let first = set(store, space, "a/1", b"1").await;
    let other = set(store, space, "b/1", b"2").await;
    assert_eq!(store.delete(space, "nothing", None).await, Ok(false));
    assert!(store.set(space, "a/1", Vec::new(), expecting(0)).await.is_err());
    let last = set(store, space, "a/2", b"3").await;

    let change =
        |key: &str, revision, value: &[u8]| Change { key: key.to_owned(), revision, value: Some(value.into()) };
    assert_eq!(next(&mut narrow).await, change("a/1", first, b"1"), "what was there before is no change");
    assert_eq!(next(&mut narrow).await, change("a/2", last, b"3"), "what failed, or did nothing, is no change");
    assert_eq!(next(&mut wide).await, change("a/1", first, b"1"));
    assert_eq!(next(&mut wide).await, change("b/1", other, b"2"));
    drop(narrow);
    assert_eq!(next(&mut wide).await, change("a/2", last, b"3"));
    assert_eq!(store.delete(space, "a/old", None).await, Ok(true));
    let gone = next(&mut wide).await;
    assert_eq!((gone.key.as_str(), gone.value), ("a/old", None));

    // Cancelling `next` loses nothing.
    for round in 0..20 {
        let waited = timeout(Duration::ZERO, wide.next()).await;
        assert!(waited.is_err(), "nothing has changed in round {round}: {waited:?}");
        let revision = set(store, space, "a/1", b"4").await;
        assert_eq!(next(&mut wide).await, change("a/1", revision, b"4"));
    }
}

async fn a_slow_watcher_sees_the_last_change_of_each_key(store: &Arc<dyn KvStore>) {
    let space = "conformance-conflation";
    let mut watch = store.watch(space, "").await.expect("keys can be watched");
    let (mut kept, mut busy) = (0, 0);
    for round in 0..100_u8 {
        kept = set(store, space, "kept", &[round]).await;
        busy = set(store, space, "busy", &[round]).await;
    }
    set(store, space, "gone", b"x").await;
    store.delete(space, "gone", None).await.expect("a key can be deleted");
    let end = set(store, space, "end", b"x").await;

    // A store may leave out what a later change of the key replaces, and a key that was created and removed.
    let mut seen = BTreeMap::new();
    while seen.get("end") != Some(&end) || seen.get("kept") != Some(&kept) || seen.get("busy") != Some(&busy) {
        let Change { key, revision, .. } = next(&mut watch).await;
        let earlier = seen.insert(key.clone(), revision);
        assert!(earlier < Some(revision), "{key}: {revision} comes after {earlier:?}");
    }
}

async fn counting_at_once(store: &Arc<dyn KvStore>) {
    const TASKS: u64 = 8;
    const EACH: u64 = 5;
    let space = "conformance-counting";
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut done = 0;
            while done < EACH {
                let entry = store.get(space, "count").await.expect("a key can be read");
                let count = entry.as_ref().map_or(0, |entry| entry.value.len());
                let revision = entry.map_or(0, |entry| entry.revision);
                match store.set(space, "count", vec![0; count + 1], expecting(revision)).await {
                    Ok(_) => done += 1,
                    Err(error) => assert_eq!(error.code(), ixt_protocol::code::ABORTED),
                }
            }
        });
    }
    timeout(PATIENCE, tasks.join_all()).await.expect("of the tasks that count at once, one succeeds each time");
    let count = get(store, space, "count").await.map(|(value, _)| value.len() as u64);
    assert_eq!(count, Some(TASKS * EACH), "no count is lost");
}
