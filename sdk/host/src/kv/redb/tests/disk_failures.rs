//! A disk that is full, that fails after it has written, or that can't be read.

use super::*;

#[tokio::test]
async fn a_full_disk_fails_writes_until_there_is_room() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    // More than one page, so that not everything is cached.
    for number in 0..50 {
        set(&store, &format!("{number}"), &[1; 3000]).await;
    }
    let mut watch = store.watch(SPACE, "").await.unwrap();
    for round in 0..3 {
        disk.full.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let error = store.set(SPACE, "new", vec![2; 10], SetOptions::default()).await.unwrap_err();
            assert_eq!((error.code(), error.retryable()), (code::UNAVAILABLE, true));
            assert!(error.to_string().contains("/data/kv.redb: no storage space"), "{error}");
            for number in 0..50 {
                assert_eq!(get(&store, &format!("{number}")).await, Some(vec![1; 3000]), "round {round}");
            }
            let keys = store.list(SPACE, "", None, 100).await.unwrap().keys.len();
            assert_eq!(keys, 50 + usize::from(round > 0));
        }
        disk.full.store(false, Ordering::SeqCst);
        let revision = set(&store, "new", &[3; 10]).await;
        assert_eq!(get(&store, "new").await, Some(vec![3; 10]));
        let change = watch.next().await.unwrap();
        assert_eq!((change.revision, change.value.as_deref()), (revision, Some(&[3; 10][..])));
    }
    drop(store);
    let store = on(&disk);
    assert_eq!(get(&store, "new").await, Some(vec![3; 10]));
    assert_eq!(get(&store, "7").await, Some(vec![1; 3000]));
}

#[tokio::test]
async fn a_failed_write_uses_up_its_revision_and_is_a_change_if_it_was_made() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let before = set(&store, "key", b"before").await;
    let mut watch = store.watch(SPACE, "").await.unwrap();
    disk.fail_syncs(usize::MAX);
    assert!(store.set(SPACE, "key", b"failed".to_vec(), SetOptions::default()).await.is_err());
    let now = store.get(SPACE, "key").await.unwrap().unwrap();
    disk.fail_syncs(0);
    let after = set(&store, "other", b"after").await;
    assert!(after > before + 1, "{after} may be the revision of what failed");

    if now.value == b"failed" {
        let change = Change { key: "key".to_owned(), revision: now.revision, value: Some(b"failed"[..].into()) };
        assert_eq!(watch.next().await, Some(change), "a write that can be read is a change");
    }
    assert_eq!(watch.next().await.unwrap().key, "other");
    assert_eq!(store.get(SPACE, "key").await.unwrap(), Some(now), "a value that was read stays");
}

#[test]
fn a_transaction_was_committed_if_its_changes_are_there() {
    let set = |key: &'static str| (key, Some(b"value".to_vec()));
    let delete = |key: &'static str| (key, None);
    let backend = fenced(Arc::new(InMemoryBackend::new()));
    let (database, mut state) = file::open(backend).unwrap_or_else(|failure| panic!("{failure}"));
    let mut transact = |changes: &[(&str, Option<Vec<u8>>)], commit| {
        let transaction = database.begin_write().unwrap();
        let mut tables = transaction::WriteTables::open(&transaction, &state).unwrap();
        for (key, value) in changes {
            let done = match value.clone() {
                Some(mut value) => {
                    tables.set(SPACE, key, &mut value, SetOptions::default(), &Quotas::each(FILE_QUOTA)).unwrap()
                }
                None => tables.delete(SPACE, key, None).unwrap(),
            };
            done.unwrap();
        }
        let mut outcome = tables.finish().unwrap();
        let written = std::mem::take(&mut outcome.written);
        if commit {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
        }
        // A revision is used up even if the transaction has failed.
        state.revision = outcome.revision;
        if commit {
            outcome.apply(&mut state);
        }
        tables::was_committed(&database, &written).unwrap()
    };
    assert!(transact(&[set("old"), set("kept")], true));
    for changes in [
        &[set("new")][..],
        &[set("old")],
        &[delete("old"), set("kept")],
        &[set("old"), delete("old")],
        &[set("new"), delete("new"), set("old")],
        &[delete("old"), set("old")],
    ] {
        for commit in [false, true] {
            assert_eq!(transact(changes, commit), commit, "{changes:?}");
        }
        transact(&[set("old"), delete("new")], true);
    }
    for commit in [false, true] {
        let changes = [set("new"), delete("new")];
        assert!(!transact(&changes, commit), "it has left no trace");
    }
}

/// Lets a commit fail after it was written, on a disk that can be read only so often until then, and afterwards works again. Without
/// another read or write, the change has to come. Returns how many reads are left.
async fn fail_a_commit_that_is_there(keys: u16, readable: usize) -> Option<usize> {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let others = (0..keys).map(|number| store.set("t", &format!("{number}"), vec![1; 4000], SetOptions::default()));
    assert!(others.collect::<JoinSet<_>>().join_all().await.iter().all(Result::is_ok));
    set(&store, "key", b"before").await;
    let mut watch = store.watch(SPACE, "").await.unwrap();
    disk.fail_syncs(usize::MAX);
    *disk.readable_after_failure.lock().unwrap() = Some(readable);
    store.set(SPACE, "key", b"failed".to_vec(), SetOptions::default()).await.unwrap_err();
    let left = *disk.readable.lock().unwrap();
    disk.fail_syncs(0);
    disk.allow_reads(None);
    let change = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
    let change = change.unwrap_or_else(|_| panic!("no change after {readable} reads")).unwrap();
    assert_eq!(change.value.as_deref(), Some(&b"failed"[..]));
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"failed"[..]));
    left
}

#[tokio::test]
async fn a_failed_write_that_is_there_is_a_change_even_if_the_disk_can_not_be_read_for_a_while() {
    // With few keys, what was read to count them is cached. With many, the change is read once more.
    for keys in [0, 1000] {
        let most = 1_000_000;
        let needed = most - fail_a_commit_that_is_there(keys, most).await.unwrap();
        assert!(needed > 10, "{needed} reads are enough");
        // First reads, with which the file is opened, and the last ones, with which it is counted and searched.
        for readable in (0..3).chain(needed - 3..needed) {
            assert_eq!(fail_a_commit_that_is_there(keys, readable).await, Some(0));
        }
    }
}

#[tokio::test]
async fn reads_succeed_again_when_the_disk_can_be_read_again() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    // More than redb caches.
    for number in 0..9 {
        set(&store, &format!("{number}"), &vec![number; 256 * 1024]).await;
    }
    disk.allow_reads(Some(0));
    let mut failed = None;
    for number in 0..9 {
        failed = failed.or(store.get(SPACE, &format!("{number}")).await.err());
    }
    let error = failed.expect("not all of it can be in memory");
    assert_eq!((error.code(), error.retryable()), (code::UNAVAILABLE, true));
    disk.allow_reads(None);
    for number in 0..9 {
        assert!(get(&store, &format!("{number}")).await.is_some_and(|value| value == vec![number; 256 * 1024]));
    }
    set(&store, "key", b"next").await;
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"next"[..]));
}

#[tokio::test]
async fn a_bad_page_fails_only_the_reads_that_need_it() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "good", b"value").await;
    // If the database were opened again, as after a failure of the disk, no read would succeed any more.
    disk.allow_reads(Some(0));
    for _ in 0..2 {
        let panics = store.read::<()>(None, |_, _| panic!("redb asserts much"));
        assert!(panics.await.unwrap_err().to_string().contains("redb asserts much"));
        let fails = store.read::<()>(None, |_, _| Err(Error::Corrupted("page 7".to_owned())));
        assert_eq!(fails.await.unwrap_err().code(), code::UNAVAILABLE);
    }
    assert_eq!(get(&store, "good").await.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn keys_expire_while_the_disk_is_full() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let mut watch = store.watch(SPACE, "").await.unwrap();
    set(&store, "key", b"1").await;
    watch.next().await.unwrap();
    store.set(SPACE, "key", b"2".to_vec(), ttl(Duration::from_millis(20))).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    while get(&store, "key").await.is_some() {
        tokio::task::yield_now().await;
    }
    disk.full.store(false, Ordering::SeqCst);
    while watch.next().await.unwrap().value.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_writes_fail_one_after_the_other() {
    let disk = Arc::new(Disk::default());
    let store = Arc::new(on(&disk));
    // Too large for the cache, so that it is read from the file each time.
    let value = vec![1; 4 * tables::INLINE_BYTES];
    set(&store, "key", &value).await;
    disk.full.store(true, Ordering::SeqCst);
    let done = Arc::new(AtomicBool::new(false));
    let (reads, has_read) = oneshot::channel();
    let reader = tokio::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            let mut reads = Some(reads);
            while !done.load(Ordering::SeqCst) {
                assert!(get(&store, "key").await == Some(value.clone()));
                if let Some(reads) = reads.take() {
                    reads.send(()).unwrap();
                }
            }
        }
    });
    has_read.await.unwrap();
    // Each failed write makes the writer open the file again.
    for _ in 0..100 {
        store.set(SPACE, "new", vec![2], SetOptions::default()).await.unwrap_err();
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
}

#[tokio::test]
async fn a_damaged_value_is_an_error_and_others_can_be_read() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    for number in 0..100 {
        set(&store, &format!("{number}"), &[number; 5000]).await;
    }
    drop(store);
    let path = data.join(FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5000).position(|window| window == [50; 5000]).expect("it is there");
    bytes[at + 2500] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = RedbStore::open(&data).unwrap();
    let error = store.get(SPACE, "50").await.unwrap_err();
    assert_eq!(error.code(), code::UNAVAILABLE);
    assert!(error.to_string().contains("the value of `50` is not what was written"), "{error}");
    for number in (0..100).filter(|number| *number != 50) {
        assert_eq!(get(&store, &format!("{number}")).await, Some(vec![number; 5000]));
    }
    // Writing the key again replaces the damaged value.
    set(&store, "50", b"new").await;
    assert_eq!(get(&store, "50").await.as_deref(), Some(&b"new"[..]));
}
