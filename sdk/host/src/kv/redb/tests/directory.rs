//! The data directory: its permissions, its lock, its format version, and files that are not a store.

use super::*;

#[tokio::test]
async fn a_directory_is_used_by_one_store_at_a_time() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    let error = RedbStore::open(&data).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { directory } if *directory == data), "{error}");
    let text = error.to_string();
    assert!(text.contains(data.to_str().unwrap()) && text.contains("another data directory"), "{text}");
    drop(store);
    RedbStore::open(&data).unwrap();
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_an_error() {
    let parent = tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("data");
    let error = RedbStore::open(&below).unwrap_err();
    assert!(matches!(&error, OpenError::Directory { directory, .. } if *directory == below), "{error}");
}

#[test]
fn a_directory_that_others_can_change_is_refused() {
    let (_parent, data) = directory();
    drop(RedbStore::open(&data).unwrap());
    for mode in [0o720, 0o702, 0o777] {
        fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        for error in [RedbStore::open(&data).unwrap_err(), RedbStore::check(&data).unwrap_err()] {
            assert!(matches!(&error, OpenError::NotPrivate { owner: None, .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&format!("`chmod 700 {}`", data.display())), "{text}");
        }
    }
    // Others may read the directory, but not the file in it.
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    RedbStore::open(&data).unwrap();

    // Only root can give a directory to another user.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&data, Some(12345), None).unwrap();
        let error = RedbStore::open(&data).unwrap_err();
        assert!(matches!(&error, OpenError::NotPrivate { owner: Some(12345), .. }), "{error:?}");
        assert!(error.to_string().contains("belongs to another user (number 12345)"), "{error}");
    }
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    let parent = tempdir().unwrap();
    let elsewhere = parent.path().join("elsewhere");
    drop(RedbStore::open(&elsewhere).unwrap());
    let target = elsewhere.join(FILE_NAME);
    let before = fs::read(&target).unwrap();
    let make: [&dyn Fn(&Path); 4] = [
        &|path| std::os::unix::fs::symlink(&target, path).unwrap(),
        &|path| std::os::unix::fs::symlink(parent.path().join("new"), path).unwrap(),
        &|path| fs::create_dir(path).unwrap(),
        &|path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
    ];
    for (number, make) in make.into_iter().enumerate() {
        let data = parent.path().join(number.to_string());
        private(&data);
        make(&data.join(FILE_NAME));
        let error = RedbStore::open(&data).unwrap_err();
        assert!(matches!(&error, OpenError::NoFile { path } if *path == data.join(FILE_NAME)), "{number}: {error:?}");
    }
    assert_eq!(fs::read(&target).unwrap(), before);
    assert!(!parent.path().join("new").exists());
}

#[tokio::test]
async fn a_directory_has_a_format_version() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    set(&store, "key", b"value").await;
    drop(store);
    let format = data.join("format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "3\n");

    // Directories of version 1 may have no format file. A file without a number is replaced too.
    for old in [None, Some("1\n"), Some("what?")] {
        match old {
            None => fs::remove_file(&format).unwrap(),
            Some(old) => fs::write(&format, old).unwrap(),
        }
        assert_eq!(get(&RedbStore::open(&data).unwrap(), "key").await.as_deref(), Some(&b"value"[..]));
        assert_eq!(fs::read_to_string(&format).unwrap(), "3\n");
    }

    fs::write(&format, "7\n").unwrap();
    let before = fs::read(data.join(FILE_NAME)).unwrap();
    for error in [
        RedbStore::open(&data).unwrap_err(),
        RedbStore::check(&data).unwrap_err(),
        RedbStore::repair(&data).unwrap_err(),
    ] {
        assert!(matches!(&error, OpenError::Newer { found: 7, newest: 3, .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("format version 7") && text.contains("up to 3"), "{text}");
    }
    assert_eq!(fs::read_to_string(&format).unwrap(), "7\n");
    assert!(fs::read(data.join(FILE_NAME)).unwrap() == before, "the file was changed");

    // No file is created in a directory of a later version, which may keep its values elsewhere.
    fs::remove_file(data.join(FILE_NAME)).unwrap();
    RedbStore::open(&data).unwrap_err();
    assert!(!data.join(FILE_NAME).exists());
}

#[tokio::test]
async fn damaged_files() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    set(&store, "key", &vec![1; 100_000]).await;
    drop(store);
    let path = data.join(FILE_NAME);
    let sound = fs::read(&path).unwrap();

    let mut no_header = sound.clone();
    no_header[..64].fill(b'x');
    let mut no_body = sound.clone();
    no_body[4096..].fill(b'x');
    for damaged in [&b"text"[..], &sound[..sound.len() / 2], &sound[..100], &no_header, &no_body] {
        fs::write(&path, damaged).unwrap();
        let error = RedbStore::open(&data).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    fs::write(&path, &sound).unwrap();
    assert_eq!(get(&RedbStore::open(&data).unwrap(), "key").await, Some(vec![1; 100_000]));
}

#[tokio::test]
async fn no_revision_is_used_again() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    let mut last = set(&store, "key", b"1").await;
    // Nothing in the file has the revision of this one.
    assert!(store.delete(SPACE, "key", None).await.unwrap());
    last += 1;
    let killed = fs::read(data.join(FILE_NAME)).unwrap();
    drop(store);
    let store = RedbStore::open(&data).unwrap();
    assert_eq!(set(&store, "key", b"2").await, last + 1, "after a store was closed they go on without a gap");
    drop(store);
    fs::write(data.join(FILE_NAME), killed).unwrap();
    for _ in 0..3 {
        let store = RedbStore::open(&data).unwrap();
        let next = set(&store, "key", b"3").await;
        assert!(next > last, "{next} was used before");
        last = next;
        let killed = fs::read(data.join(FILE_NAME)).unwrap();
        drop(store);
        fs::write(data.join(FILE_NAME), killed).unwrap();
    }
}

#[tokio::test]
async fn a_store_of_the_oldest_format_is_counted_when_it_is_opened() {
    type Value<'a> = (u64, Option<u64>, u32, &'a [u8]);
    let (_parent, data) = directory();
    private(data.parent().unwrap());
    private(&data);
    let large = vec![9; 100_000];
    {
        let database = ::redb::Database::create(data.join(FILE_NAME)).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let entries: TableDefinition<(&str, &str), Value<'static>> = TableDefinition::new("entries");
            let mut entries = transaction.open_table(entries).unwrap();
            let parts: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("parts");
            let mut parts = transaction.open_table(parts).unwrap();
            let expiries: TableDefinition<(u64, &str, &str), ()> = TableDefinition::new("expiries");
            let mut expiries = transaction.open_table(expiries).unwrap();
            let counters: TableDefinition<&str, u64> = TableDefinition::new("counters");
            let mut counters = transaction.open_table(counters).unwrap();
            entries.insert((SPACE, "small"), (1, None, 0, &b"value"[..])).unwrap();
            entries.insert((SPACE, "large"), (2, Some(u64::MAX), 2, &b""[..])).unwrap();
            parts.insert((2, 0), &large[..65_536]).unwrap();
            parts.insert((2, 1), &large[65_536..]).unwrap();
            expiries.insert((u64::MAX, SPACE, "large"), ()).unwrap();
            counters.insert("revision", 2).unwrap();
        }
        transaction.commit().unwrap();
    }
    let before = fs::read(data.join(FILE_NAME)).unwrap();
    assert!(RedbStore::check(&data).unwrap().damage.is_empty());
    assert!(fs::read(data.join(FILE_NAME)).unwrap() == before && !data.join("format").exists());

    let store = RedbStore::open_with(&data, Quotas::each(100_200)).unwrap();
    assert_eq!(get(&store, "small").await.as_deref(), Some(&b"value"[..]));
    assert!(get(&store, "large").await.is_some_and(|value| value == large));
    let used = 2 * 64 + 10 + 5 + 100_000;
    assert_eq!(
        store.set(SPACE, "new", vec![0; 100], SetOptions::default()).await,
        Err(KvError::QuotaExceeded { used, max: 100_200 })
    );
    assert!(set(&store, "large", b"").await > 2);
    set(&store, "new", &vec![0; 99_000]).await;
    drop(store);
    let inspection = RedbStore::check(&data).unwrap();
    assert_eq!((inspection.damage, inspection.keys[SPACE]), (vec![], 3));
}
