//! Backups of a store that is in use.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};

use super::super::directory::FILE_NAME;
use super::super::*;

async fn set(store: &RedbStore, key: &str, value: &[u8]) -> u64 {
    store.set("space", key, value.to_vec(), SetOptions::default()).await.unwrap()
}

async fn number(store: &RedbStore, key: &str) -> u64 {
    let value = store.get("space", key).await.unwrap().unwrap().value;
    String::from_utf8(value).unwrap().parse().unwrap()
}

async fn fill(store: &RedbStore, keys: u64) {
    let mut writes = tokio::task::JoinSet::new();
    for key in 0..keys {
        writes.spawn(store.set("space", &key.to_string(), vec![7; 1000], SetOptions::default()));
    }
    assert!(writes.join_all().await.iter().all(Result::is_ok));
}

/// A data directory with this file as its store.
fn restored(backup: &Path) -> (TempDir, PathBuf) {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    drop(RedbStore::open(&data).unwrap());
    fs::rename(backup, data.join(FILE_NAME)).unwrap();
    (parent, data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_the_store_at_one_moment() {
    let parent = tempdir().unwrap();
    let store = Arc::new(RedbStore::open(parent.path().join("data")).unwrap());
    fill(&store, 2000).await;
    set(&store, "large", &vec![8; 1_000_000]).await;
    set(&store, "first", b"0").await;
    set(&store, "second", b"0").await;
    let later = SetOptions { ttl: Some(std::time::Duration::from_secs(1000)), ..SetOptions::default() };
    let expires = store.set("other", "expires", vec![], later).await.unwrap();
    let stop = Arc::new(tokio::sync::SetOnce::<()>::new());
    // Writes go on meanwhile. `first` is always equal to `second`, or one more.
    let writer = tokio::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move {
            let mut round = 0_u64;
            while stop.get().is_none() {
                round += 1;
                set(&store, "first", round.to_string().as_bytes()).await;
                set(&store, "second", round.to_string().as_bytes()).await;
            }
            round
        }
    });
    let path = parent.path().join("backup");
    assert_eq!(store.backup(&path).await.unwrap(), 2004);
    stop.set(()).unwrap();
    let written = writer.await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names = fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(names, 2, "only the backup is left");

    let (_restored, data) = restored(&path);
    let inspection = RedbStore::check(&data).unwrap();
    assert_eq!((inspection.damage, inspection.keys["space"], inspection.keys["other"]), (vec![], 2003, 1));
    let copy = RedbStore::open(&data).unwrap();
    let (first, second) = (number(&copy, "first").await, number(&copy, "second").await);
    assert!((second..=second + 1).contains(&first) && first <= written, "{first} {second} {written}");
    assert_eq!(copy.get("space", "1999").await.unwrap().unwrap().value, [7; 1000]);
    assert!(copy.get("space", "large").await.unwrap().unwrap().value == vec![8; 1_000_000]);
    assert_eq!(copy.get("other", "expires").await.unwrap().unwrap().revision, expires);
    let next = set(&copy, "next", b"").await;
    assert!(next > expires && next > written, "revisions go on after those of the backup: {next}");
}

#[tokio::test]
async fn a_backup_replaces_nothing() {
    let parent = tempdir().unwrap();
    let store = RedbStore::ephemeral().unwrap();
    set(&store, "key", b"value").await;
    let file = parent.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = parent.path().join("link");
    symlink(parent.path().join("nowhere"), &link).unwrap();
    for taken in [&file, &link, &parent.path().to_owned()] {
        let error = store.backup(taken).await.unwrap_err();
        assert_eq!((error.code(), error.retryable()), (ixt_protocol::code::FAILED_PRECONDITION, false));
        let text = error.to_string();
        assert!(text.contains(taken.to_str().unwrap()) && text.contains("nothing is replaced"), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let nowhere = parent.path().join("none/backup");
    let error = store.backup(&nowhere).await.unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "nothing is left behind");

    // A store in memory can be backed up too.
    let backup = parent.path().join("backup");
    assert_eq!(store.backup(&backup).await, Ok(1));
    let (_restored, data) = restored(&backup);
    let copy = RedbStore::open(&data).unwrap();
    assert_eq!(copy.get("space", "key").await.unwrap().unwrap().value, b"value");
}

#[tokio::test]
async fn closing_a_store_leaves_no_partial_backup() {
    let parent = tempdir().unwrap();
    let store = RedbStore::open(parent.path().join("data")).unwrap();
    fill(&store, 1000).await;
    let path = parent.path().join("backup");
    let mut backup = store.backup(&path);
    // The backup begins.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = backup.as_mut().poll(&mut context);
    drop(store);
    let expected = match backup.await {
        Ok(keys) => {
            assert_eq!(keys, 1000);
            2
        }
        Err(error) => {
            assert!(matches!(error, KvError::Closed | KvError::Storage { .. }), "{error}");
            1
        }
    };
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), expected);
}

#[tokio::test]
async fn a_damaged_store_has_no_backup() {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    let store = RedbStore::open(&data).unwrap();
    set(&store, "key", &[7; 3000]).await;
    drop(store);
    let mut bytes = fs::read(data.join(FILE_NAME)).unwrap();
    let at = bytes.windows(3000).position(|window| window == [7; 3000]).unwrap();
    bytes[at] = 8;
    fs::write(data.join(FILE_NAME), bytes).unwrap();
    let store = RedbStore::open(&data).unwrap();
    let path = parent.path().join("backup");
    let error = store.backup(&path).await.unwrap_err();
    assert!(error.to_string().contains("the value of the key `key` of `space`"), "{error}");
    assert!(!path.exists());
}
