//! The sizes of writes, and compaction of the file.

use super::*;

#[tokio::test]
async fn writing_a_small_value_does_not_write_a_large_one_again() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "large", &vec![1; 8 * 1024 * 1024]).await;
    let before = disk.written.load(Ordering::SeqCst);
    for _ in 0..10 {
        set(&store, "larger", b"small").await;
    }
    let each = (disk.written.load(Ordering::SeqCst) - before) / 10;
    assert!(each < 512 * 1024, "{each} bytes for a write of 5");
}

#[tokio::test]
async fn a_write_puts_no_more_on_the_disk_than_one_of_plain_redb() {
    const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");
    let (disk, plain_disk) = (Arc::new(Disk::default()), Arc::new(Disk::default()));
    let store = on(&disk);
    let plain = file::open_database(fenced(Arc::clone(&plain_disk) as Arc<_>)).unwrap();
    let mut least = [usize::MAX; 2];
    for round in 0..20 {
        let before = [&disk, &plain_disk].map(|disk| disk.written.load(Ordering::SeqCst));
        set(&store, "key", b"value").await;
        let transaction = plain.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert("key", &b"value"[..]).unwrap();
        transaction.commit().unwrap();
        let after = [&disk, &plain_disk].map(|disk| disk.written.load(Ordering::SeqCst));
        // The first writes create tables. Of the others the least counts: the store is settled between two if the machine stands still.
        if round >= 10 {
            least = std::array::from_fn(|which| least[which].min(after[which] - before[which]));
        }
    }
    assert_eq!(least[0], least[1]);
}

#[tokio::test]
async fn the_room_of_a_deleted_large_value_is_freed() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    for round in 0..20 {
        set(&store, "key", &vec![round; 1024 * 1024]).await;
    }
    store.delete(SPACE, "key", None).await.unwrap();
    drop(store);
    let kept = disk.memory.len().unwrap();
    assert!(kept < 10 * 1024 * 1024, "{kept} bytes for an empty store");
}

#[tokio::test]
async fn the_file_shrinks_while_the_store_is_open() {
    const BYTES: u64 = 64 * 1024 * 1024;
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    let len = || fs::metadata(data.join(FILE_NAME)).unwrap().len();
    for number in 0..64 {
        set(&store, &format!("large/{number}"), &vec![number; 1024 * 1024]).await;
        // Small values in between, which stay.
        set(&store, &format!("small/{number}"), &[number; 100]).await;
    }
    let full = len();
    assert!((BYTES..3 * BYTES).contains(&full), "{full} bytes");
    for number in 0..64 {
        assert!(store.delete(SPACE, &format!("large/{number}"), None).await.unwrap());
    }
    // Reads go on meanwhile.
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while len() > 8 * 1024 * 1024 {
        for number in 0..64 {
            assert_eq!(store.list(SPACE, "", None, 100).await.unwrap().keys.len(), 64);
            assert_eq!(get(&store, &format!("small/{number}")).await, Some(vec![number; 100]));
        }
        assert!(std::time::Instant::now() < patience, "the file still has {} bytes", len());
    }
    set(&store, "small/0", b"new").await;
    drop(store);
    let store = RedbStore::open(&data).unwrap();
    assert_eq!(get(&store, "small/0").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(get(&store, "small/63").await, Some(vec![63; 100]));
}

#[tokio::test]
async fn a_store_goes_on_if_its_file_can_not_be_compacted() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    for number in 0..40 {
        set(&store, &format!("{number}"), &vec![number; 1024 * 1024]).await;
    }
    set(&store, "last", b"kept").await;
    for number in 0..40 {
        store.delete(SPACE, &format!("{number}"), None).await.unwrap();
    }
    let before = disk.memory.len().unwrap();
    let writes = disk.failed.load(Ordering::SeqCst);
    disk.full.store(true, Ordering::SeqCst);
    // Compaction is tried, and fails.
    while disk.failed.load(Ordering::SeqCst) == writes {
        assert_eq!(get(&store, "last").await.as_deref(), Some(&b"kept"[..]));
        tokio::task::yield_now().await;
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(get(&store, "last").await.as_deref(), Some(&b"kept"[..]));
    set(&store, "next", b"1").await;
    assert_eq!(get(&store, "next").await.as_deref(), Some(&b"1"[..]));
    assert!(before > 8 * 1024 * 1024, "{before} bytes: there was nothing to gain");
}

#[tokio::test]
async fn a_damaged_file_is_not_compacted() {
    quiet_panics();
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "damaged", &vec![99; 100_000]).await;
    set(&store, "last", b"kept").await;
    for number in 0..40 {
        set(&store, &format!("{number}"), &vec![number; 1024 * 1024]).await;
    }
    for number in 0..40 {
        store.delete(SPACE, &format!("{number}"), None).await.unwrap();
    }
    drop(store);
    disk.damage_page_of(&[99; 1000]);
    // Compaction is due: otherwise it would end with a file that redb refuses as a whole.
    let store = on(&disk);
    let written = disk.written.load(Ordering::SeqCst);
    set(&store, "other", b"1").await;
    let before = disk.written.load(Ordering::SeqCst);
    assert!(before > written);
    let patience = std::time::Instant::now() + Duration::from_secs(5);
    while disk.written.load(Ordering::SeqCst) == before && std::time::Instant::now() < patience {
        tokio::task::yield_now().await;
    }
    set(&store, "other", b"2").await;
    for _ in 0..2 {
        assert_eq!(get(&store, "last").await.as_deref(), Some(&b"kept"[..]));
    }
    store.get(SPACE, "damaged").await.unwrap_err();
    drop(store);
    assert_eq!(get(&on(&disk), "last").await.as_deref(), Some(&b"kept"[..]));
}
