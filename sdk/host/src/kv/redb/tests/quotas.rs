//! Quotas of namespaces.

use super::*;

#[tokio::test]
async fn a_namespace_holds_what_its_quota_allows() {
    const MIB: u64 = 1024 * 1024;
    let (_parent, data) = directory();
    let mut quotas = Quotas::each(MIB);
    quotas.namespaces.insert("large".to_owned(), 2 * MIB);
    let open = || RedbStore::open_with(&data, quotas.clone()).unwrap();
    let put = async |store: &RedbStore, space: &str, key: &str, bytes: usize| {
        store.set(space, key, vec![7; bytes], SetOptions::default()).await
    };
    let mut store = open();
    put(&store, SPACE, "a", 600_000).await.unwrap();
    let used = 600_000 + 1 + 64;
    let full = KvError::QuotaExceeded { used, max: MIB };
    // Also after a restart, and after a crash: with the file as it was before the store was closed.
    for round in 0..3 {
        assert_eq!(put(&store, SPACE, "b", 600_000).await, Err(full.clone()));
        assert_eq!(get(&store, "b").await, None);
        // Other namespaces have their own quotas.
        put(&store, "other", "a", 600_000).await.unwrap();
        put(&store, "large", "a", 1_500_000).await.unwrap();
        if round == 1 {
            let crashed = fs::read(data.join(FILE_NAME)).unwrap();
            drop(store);
            fs::write(data.join(FILE_NAME), crashed).unwrap();
        } else {
            drop(store);
        }
        store = open();
    }
    assert_eq!((full.code(), full.retryable()), (code::RESOURCE_EXHAUSTED, false));
    let text = full.to_string();
    assert!(text.contains("600065") && text.contains("1048576") && text.contains("`kv_quota`"), "{text}");

    // The quota can be used up to the last byte.
    let left = usize::try_from(MIB - used).unwrap() - 64 - 1;
    assert!(put(&store, SPACE, "b", left + 1).await.is_err());
    put(&store, SPACE, "b", left).await.unwrap();
    assert!(put(&store, SPACE, "c", 0).await.is_err(), "a key without a value takes room too");
    put(&store, SPACE, "b", left).await.unwrap();
    assert!(put(&store, SPACE, "b", left + 1).await.is_err());
    put(&store, SPACE, "b", 10).await.unwrap();
    assert!(store.delete(SPACE, "a", None).await.unwrap());
    put(&store, SPACE, "c", 600_000).await.unwrap();

    // With a quota below what is stored, only writes that take no more room than before succeed.
    drop(store);
    let store = RedbStore::open_with(&data, Quotas::each(1000)).unwrap();
    assert!(put(&store, SPACE, "d", 0).await.is_err());
    put(&store, SPACE, "c", 600_000).await.unwrap();
    put(&store, SPACE, "c", 500_000).await.unwrap();
    assert!(put(&store, SPACE, "c", 500_001).await.is_err());
    assert!(store.delete(SPACE, "c", None).await.unwrap());
    put(&store, SPACE, "d", 0).await.unwrap();
}

#[tokio::test]
async fn expired_keys_take_no_room() {
    let store = RedbStore::ephemeral_with(Quotas::each(200_000)).unwrap();
    // More keys than are removed at once.
    let fill = async |time| {
        let mut writes = JoinSet::new();
        for number in 0..2500 {
            writes.spawn(store.set(SPACE, &format!("{number:04}"), vec![], ttl(time)));
        }
        assert!(writes.join_all().await.iter().all(Result::is_ok));
    };
    fill(Duration::from_secs(3600)).await;
    assert!(store.set(SPACE, "large", vec![7; 190_000], SetOptions::default()).await.is_err());
    fill(Duration::ZERO).await;
    store.set(SPACE, "large", vec![7; 190_000], SetOptions::default()).await.unwrap();
}
