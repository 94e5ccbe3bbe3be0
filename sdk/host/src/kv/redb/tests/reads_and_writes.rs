//! Acknowledged writes, the cache of read values, batching, and the limit of waiting writes.

use super::*;

#[tokio::test]
async fn written_values_are_there_after_reopening() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(data.join(FILE_NAME).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    set(&store, "key", b"value").await;
    store.set(SPACE, "short", b"x".to_vec(), ttl(Duration::from_millis(20))).await.unwrap();
    store.set(SPACE, "long", b"y".to_vec(), ttl(Duration::from_secs(3600))).await.unwrap();
    let revision = set(&store, "deleted", b"z").await;
    store.delete(SPACE, "deleted", None).await.unwrap();
    let mut watch = store.watch(SPACE, "").await.unwrap();
    drop(store);
    // The watch ends, perhaps after an expiry.
    while watch.next().await.is_some() {}

    let store = RedbStore::open(&data).unwrap();
    let mut watch = store.watch(SPACE, "short").await.unwrap();
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(get(&store, "long").await.as_deref(), Some(&b"y"[..]));
    assert_eq!(get(&store, "deleted").await, None);
    // A key whose time ends while the store is closed or is being opened is removed too, before or after this watch.
    if get(&store, "short").await.is_some() {
        assert_eq!(watch.next().await.unwrap().value, None);
        assert_eq!(get(&store, "short").await, None);
    }
    let next = set(&store, "deleted", b"z").await;
    assert!(next > revision + 1, "{next} was used before: the removal had a revision too, after {revision}");
}

#[tokio::test]
async fn dropping_the_store_writes_what_was_accepted() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    let mut accepted = Vec::new();
    for number in 0..100 {
        let mut write = store.set(SPACE, &format!("{number}"), vec![0; 1000], SetOptions::default());
        // Sends the write, and does not wait for it.
        assert!(poll_once(&mut write).is_none_or(|done| done.is_ok()));
        accepted.push(write);
    }
    let late = store.get(SPACE, "0");
    drop((store, accepted));
    assert_eq!(late.await, Err(KvError::Closed));

    let store = RedbStore::open(&data).unwrap();
    assert_eq!(store.list(SPACE, "", None, 1000).await.unwrap().keys.len(), 100);
}

#[tokio::test]
async fn a_read_value_is_cached_until_its_key_is_written_or_expires() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let at_once =
        |key: &str| poll_once(&mut store.get(SPACE, key)).map(|entry| entry.unwrap().map(|entry| entry.value));
    set(&store, "key", b"one").await;
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"one"[..]));
    assert_eq!(at_once("key"), Some(Some(b"one".to_vec())));

    set(&store, "key", b"two").await;
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"two"[..]));
    assert_eq!(at_once("key"), Some(Some(b"two".to_vec())));
    assert_eq!(store.get("other", "key").await.unwrap(), None);

    disk.full.store(true, Ordering::SeqCst);
    store.set(SPACE, "key", b"three".to_vec(), SetOptions::default()).await.unwrap_err();
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"two"[..]));
    disk.full.store(false, Ordering::SeqCst);

    assert!(store.delete(SPACE, "key", None).await.unwrap());
    assert_eq!(get(&store, "key").await, None);

    let mut watch = store.watch(SPACE, "short").await.unwrap();
    store.set(SPACE, "short", b"x".to_vec(), ttl(Duration::from_millis(50))).await.unwrap();
    watch.next().await.unwrap();
    let _ = get(&store, "short").await;
    assert_eq!(watch.next().await.unwrap().value, None);
    assert_eq!(get(&store, "short").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_returns_a_value_older_than_one_that_was_written_or_read() {
    let store = Arc::new(RedbStore::ephemeral().unwrap());
    set(&store, "key", b"0").await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let (store, answered) = (Arc::clone(&store), Arc::clone(&answered));
        readers.spawn(async move {
            let (mut last, mut at_once) = (0, 0);
            while last < 1000 {
                let known = last.max(answered.load(Ordering::SeqCst));
                let mut read = store.get(SPACE, "key");
                let entry = match poll_once(&mut read) {
                    Some(entry) => {
                        at_once += 1;
                        entry
                    }
                    None => read.await,
                };
                last = String::from_utf8(entry.unwrap().unwrap().value).unwrap().parse().unwrap();
                assert!(last >= known, "{last} is older than {known}");
                tokio::task::yield_now().await;
            }
            at_once
        });
    }
    for number in 1..=1000_usize {
        set(&store, "key", number.to_string().as_bytes()).await;
        answered.store(number, Ordering::SeqCst);
        // So that there are also writes of another key.
        set(&store, "other", b"").await;
    }
    let at_once: usize = readers.join_all().await.into_iter().sum();
    assert!(at_once > 0);
}

/// A disk in memory whose syncs wait while a test holds `gate`.
#[derive(Debug, Default)]
struct Slow {
    memory: InMemoryBackend,
    gate: Mutex<()>,
    synced: AtomicUsize,
}

impl StorageBackend for Slow {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.synced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

#[tokio::test]
async fn writes_at_once_are_committed_together() {
    let disk = Arc::new(Slow::default());
    let store =
        RedbStore::with_backend(Arc::clone(&disk) as Arc<_>, Path::new("slow"), Quotas::each(FILE_QUOTA)).unwrap();
    let before = disk.synced.load(Ordering::SeqCst);
    let shut = disk.gate.lock().unwrap();
    let mut writes: Vec<_> =
        (0..1000).map(|number| store.set(SPACE, &format!("{number}"), vec![1], SetOptions::default())).collect();
    for write in &mut writes {
        assert!(poll_once(write).is_none(), "the write completed before it was on the disk");
    }
    drop(shut);
    let mut answers = JoinSet::new();
    for write in writes {
        answers.spawn(write);
    }
    assert!(answers.join_all().await.iter().all(Result::is_ok));
    // The first write may be alone in its transaction, the others are together; a commit may sync more than once.
    let syncs = disk.synced.load(Ordering::SeqCst) - before;
    assert!(syncs <= 10, "{syncs} waits for the disk");
}

#[tokio::test]
async fn writes_beyond_the_limit_wait_to_be_accepted() {
    let disk = Arc::new(Slow::default());
    let store =
        RedbStore::with_backend(Arc::clone(&disk) as Arc<_>, Path::new("slow"), Quotas::each(FILE_QUOTA)).unwrap();
    let shut = disk.gate.lock().unwrap();
    let value = vec![1; WAITING_BYTES / 16];
    let mut writes: Vec<_> =
        (0..20).map(|number| store.set(SPACE, &format!("{number}"), value.clone(), SetOptions::default())).collect();
    for write in &mut writes {
        assert!(poll_once(write).is_none());
    }
    assert!(store.writes.available_permits() < value.len(), "the limit is reached");
    drop(shut);
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(store.list(SPACE, "", None, 100).await.unwrap().keys.len(), 20);
}
