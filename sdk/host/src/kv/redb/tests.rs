//! The store on a file and in memory: all that every store does, and what this one does beyond it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ixt_protocol::code;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use ::redb::TableDefinition;

use super::directory::FILE_NAME;
use super::*;
use crate::kv::{Change, conformance};

const SPACE: &str = "space";

async fn set(store: &RedbStore, key: &str, value: &[u8]) -> u64 {
    store.set(SPACE, key, value.to_vec(), SetOptions::default()).await.unwrap()
}

async fn get(store: &RedbStore, key: &str) -> Option<Vec<u8>> {
    store.get(SPACE, key).await.unwrap().map(|entry| entry.value)
}

fn ttl(ttl: Duration) -> SetOptions {
    SetOptions { ttl: Some(ttl), ..SetOptions::default() }
}

fn directory() -> (TempDir, PathBuf) {
    let parent = tempdir().unwrap();
    let data = parent.path().join("host/data");
    (parent, data)
}

#[tokio::test]
async fn a_file_conforms() {
    let (_parent, data) = directory();
    conformance::check(Arc::new(RedbStore::open(data).unwrap())).await;
}

#[tokio::test]
async fn memory_conforms() {
    conformance::check(Arc::new(RedbStore::ephemeral().unwrap())).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(data.join(FILE_NAME).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    set(&store, "key", b"value").await;
    store.set(SPACE, "short", b"x".to_vec(), ttl(Duration::from_millis(20))).await.unwrap();
    store.set(SPACE, "long", b"y".to_vec(), ttl(Duration::from_secs(3600))).await.unwrap();
    let revision = set(&store, "deleted", b"z").await;
    store.delete(SPACE, "deleted", None).await.unwrap();
    let mut watch = store.watch(SPACE, "");
    drop(store);
    // It ends, after what has expired in the meantime.
    while watch.next().await.is_some() {}

    let store = RedbStore::open(&data).unwrap();
    let mut watch = store.watch(SPACE, "short");
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(get(&store, "long").await.as_deref(), Some(&b"y"[..]));
    assert_eq!(get(&store, "deleted").await, None);
    // It is removed when its time comes even if the store was closed or began in between; before the watch, or after.
    if get(&store, "short").await.is_some() {
        assert_eq!(watch.next().await.unwrap().value, None);
        assert_eq!(get(&store, "short").await, None);
    }
    let next = set(&store, "deleted", b"z").await;
    assert!(next > revision + 1, "{next} was used before: the removal had a revision too, after {revision}");
}

#[tokio::test]
async fn a_directory_has_one_store_at_a_time() {
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
async fn a_directory_that_is_none() {
    let parent = tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("data");
    let error = RedbStore::open(&below).unwrap_err();
    assert!(matches!(&error, OpenError::Directory { directory, .. } if *directory == below), "{error}");
}

/// A directory of this user alone.
fn private(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
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
    // Others may look at the directory; the file in it they can't read.
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    RedbStore::open(&data).unwrap();

    // Nobody but root can give a directory away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&data, Some(12345), None).unwrap();
        let error = RedbStore::open(&data).unwrap_err();
        assert!(matches!(&error, OpenError::NotPrivate { owner: Some(12345), .. }), "{error:?}");
        assert!(error.to_string().contains("belongs to another user (number 12345)"), "{error}");
    }
}

#[test]
fn a_store_that_is_no_file_is_not_followed() {
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
    assert_eq!(fs::read_to_string(&format).unwrap(), "2\n");

    // The oldest have none. What can't be read says nothing either.
    for old in [None, Some("1\n"), Some("what?")] {
        match old {
            None => fs::remove_file(&format).unwrap(),
            Some(old) => fs::write(&format, old).unwrap(),
        }
        assert_eq!(get(&RedbStore::open(&data).unwrap(), "key").await.as_deref(), Some(&b"value"[..]));
        assert_eq!(fs::read_to_string(&format).unwrap(), "2\n");
    }

    fs::write(&format, "7\n").unwrap();
    let before = fs::read(data.join(FILE_NAME)).unwrap();
    for error in [
        RedbStore::open(&data).unwrap_err(),
        RedbStore::check(&data).unwrap_err(),
        RedbStore::repair(&data).unwrap_err(),
    ] {
        assert!(matches!(&error, OpenError::Newer { found: 7, newest: 2, .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("format version 7") && text.contains("up to 2"), "{text}");
    }
    assert_eq!(fs::read_to_string(&format).unwrap(), "7\n");
    assert!(fs::read(data.join(FILE_NAME)).unwrap() == before, "it was touched");

    // Nothing is made in a directory that a later version keeps elsewhere.
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
async fn dropping_the_store_writes_what_was_accepted() {
    let (_parent, data) = directory();
    let store = RedbStore::open(&data).unwrap();
    let mut accepted = Vec::new();
    for number in 0..100 {
        let mut write = store.set(SPACE, &format!("{number}"), vec![0; 1000], SetOptions::default());
        // Sends it, and doesn't wait.
        assert!(poll_once(&mut write).is_none_or(|done| done.is_ok()));
        accepted.push(write);
    }
    let late = store.get(SPACE, "0");
    drop((store, accepted));
    assert_eq!(late.await, Err(KvError::Closed));

    let store = RedbStore::open(&data).unwrap();
    assert_eq!(store.list(SPACE, "", None, 1000).await.unwrap().keys.len(), 100);
}

/// Polls once.
fn poll_once<T>(future: &mut KvFuture<T>) -> Option<Result<T, KvError>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

/// A disk that can be full, or broken.
#[derive(Debug, Default)]
struct Disk {
    memory: InMemoryBackend,
    full: AtomicBool,
    /// Says that it has failed, having written.
    sync_fails: AtomicBool,
    unreadable: AtomicBool,
    /// How many writes there was no room for.
    failed: AtomicUsize,
    /// How many bytes.
    written: AtomicUsize,
}

fn fail_if(flag: &AtomicBool) -> io::Result<()> {
    if flag.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        fail_if(&self.unreadable)?;
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fail_if(&self.full)?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        fail_if(&self.sync_fails)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        fail_if(&self.full).inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::SeqCst);
        })?;
        self.written.fetch_add(data.len(), Ordering::SeqCst);
        self.memory.write(offset, data)
    }
}

fn on(disk: &Arc<Disk>) -> RedbStore {
    RedbStore::with_backend(Arc::clone(disk) as Arc<_>, Path::new("/data/kv.redb"), Quotas::each(FILE_QUOTA)).unwrap()
}

#[tokio::test]
async fn a_full_disk_fails_writes_until_there_is_room() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    // More than one page, so that not all of it is at hand.
    for number in 0..50 {
        set(&store, &format!("{number}"), &[1; 3000]).await;
    }
    let mut watch = store.watch(SPACE, "");
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
async fn a_write_that_failed_late_uses_up_its_revision_and_is_told_of_if_it_was_done() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let before = set(&store, "key", b"before").await;
    let mut watch = store.watch(SPACE, "");
    disk.sync_fails.store(true, Ordering::SeqCst);
    assert!(store.set(SPACE, "key", b"failed".to_vec(), SetOptions::default()).await.is_err());
    let now = store.get(SPACE, "key").await.unwrap().unwrap();
    disk.sync_fails.store(false, Ordering::SeqCst);
    let after = set(&store, "other", b"after").await;
    assert!(after > before + 1, "{after} may be the revision of what failed");

    if now.value == b"failed" {
        let told = Change { key: "key".to_owned(), revision: now.revision, value: Some(b"failed"[..].into()) };
        assert_eq!(watch.next().await, Some(told), "what can be read must be told of");
    }
    assert_eq!(watch.next().await.unwrap().key, "other");
    assert_eq!(store.get(SPACE, "key").await.unwrap(), Some(now), "what was read once stays");
}

#[tokio::test]
async fn what_could_not_be_read_can_be_when_the_disk_is_well_again() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    // More than what is kept in memory.
    for number in 0..9 {
        set(&store, &format!("{number}"), &vec![number; 256 * 1024]).await;
    }
    disk.unreadable.store(true, Ordering::SeqCst);
    let mut failed = None;
    for number in 0..9 {
        failed = failed.or(store.get(SPACE, &format!("{number}")).await.err());
    }
    let error = failed.expect("not all of it can be in memory");
    assert_eq!((error.code(), error.retryable()), (code::UNAVAILABLE, true));
    disk.unreadable.store(false, Ordering::SeqCst);
    for number in 0..9 {
        assert!(get(&store, &format!("{number}")).await.is_some_and(|value| value == vec![number; 256 * 1024]));
    }
    set(&store, "key", b"next").await;
    assert_eq!(get(&store, "key").await.as_deref(), Some(&b"next"[..]));
}

#[tokio::test]
async fn what_was_read_is_there_at_once_until_it_is_written_or_expires() {
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

    let mut watch = store.watch(SPACE, "short");
    store.set(SPACE, "short", b"x".to_vec(), ttl(Duration::from_millis(50))).await.unwrap();
    watch.next().await.unwrap();
    let _ = get(&store, "short").await;
    assert_eq!(watch.next().await.unwrap().value, None);
    assert_eq!(get(&store, "short").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_is_older_than_what_was_answered_or_read() {
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
        // Something else is written meanwhile, too.
        set(&store, "other", b"").await;
    }
    let at_once: usize = readers.join_all().await.into_iter().sum();
    assert!(at_once > 0);
}

#[tokio::test]
async fn a_bad_page_fails_what_needs_it_and_nothing_else() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    set(&store, "good", b"value").await;
    // Were it opened anew, as after a failure of the disk, nothing of it could be read any more.
    disk.unreadable.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let panics = store.read::<()>(None, |_| panic!("redb asserts much"));
        assert!(panics.await.unwrap_err().to_string().contains("redb asserts much"));
        let fails = store.read::<()>(None, |_| Err(Error::Corrupted("page 7".to_owned())));
        assert_eq!(fails.await.unwrap_err().code(), code::UNAVAILABLE);
    }
    assert_eq!(get(&store, "good").await.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn keys_expire_while_the_disk_is_full() {
    let disk = Arc::new(Disk::default());
    let store = on(&disk);
    let mut watch = store.watch(SPACE, "");
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
    // Not kept in memory, so that each time it is read from the file.
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
    // Each of them has the file opened anew, to see whether it can be written by now.
    for _ in 0..100 {
        store.set(SPACE, "new", vec![2], SetOptions::default()).await.unwrap_err();
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
}

/// A disk that takes as long as a test likes.
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
        assert!(poll_once(write).is_none(), "it was answered before it was on the disk");
    }
    drop(shut);
    let mut answers = JoinSet::new();
    for write in writes {
        answers.spawn(write);
    }
    assert!(answers.join_all().await.iter().all(Result::is_ok));
    // At most the first of them alone, and the others together; a commit may sync more than once.
    let syncs = disk.synced.load(Ordering::SeqCst) - before;
    assert!(syncs <= 10, "{syncs} waits for the disk");
}

#[tokio::test]
async fn a_small_value_beside_a_large_one_is_written_alone() {
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
async fn a_large_value_gives_its_room_back() {
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
        // Small ones in between, which stay.
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
async fn a_store_whose_file_can_not_be_made_smaller_goes_on() {
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
    // It is tried, which fails.
    while disk.failed.load(Ordering::SeqCst) == writes {
        assert_eq!(get(&store, "last").await.as_deref(), Some(&b"kept"[..]));
        tokio::task::yield_now().await;
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(get(&store, "last").await.as_deref(), Some(&b"kept"[..]));
    set(&store, "next", b"1").await;
    assert_eq!(get(&store, "next").await.as_deref(), Some(&b"1"[..]));
    assert!(before > 8 * 1024 * 1024, "{before} bytes: there was nothing to be won");
}

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
    // Also after a restart, and after one that was none: the file as it was before the store was closed.
    for round in 0..3 {
        assert_eq!(put(&store, SPACE, "b", 600_000).await, Err(full.clone()));
        assert_eq!(get(&store, "b").await, None);
        // Others have room of their own.
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

    // To the last byte.
    let left = usize::try_from(MIB - used).unwrap() - 64 - 1;
    assert!(put(&store, SPACE, "b", left + 1).await.is_err());
    put(&store, SPACE, "b", left).await.unwrap();
    assert!(put(&store, SPACE, "c", 0).await.is_err(), "a key without a value takes room too");
    put(&store, SPACE, "b", left).await.unwrap();
    assert!(put(&store, SPACE, "b", left + 1).await.is_err());
    put(&store, SPACE, "b", 10).await.unwrap();
    assert!(store.delete(SPACE, "a", None).await.unwrap());
    put(&store, SPACE, "c", 600_000).await.unwrap();

    // With less than there is, only what takes no more room is written.
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

#[tokio::test]
async fn what_has_expired_takes_no_room() {
    let store = RedbStore::ephemeral_with(Quotas::each(200_000)).unwrap();
    // More than are removed at once.
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

#[tokio::test]
async fn a_damaged_value_is_an_error_and_the_others_are_there() {
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
    // Written anew, it is whole.
    set(&store, "50", b"new").await;
    assert_eq!(get(&store, "50").await.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn writes_beyond_what_may_wait_wait_to_be_accepted() {
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
    assert!(store.writes.available_permits() < value.len(), "all of it is taken");
    drop(shut);
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(store.list(SPACE, "", None, 100).await.unwrap().keys.len(), 20);
}

#[derive(Debug, Clone)]
enum Step {
    Set { key: String, value: u8, over: bool, expect: Expect },
    Delete { key: String, expect: Expect },
    List { prefix: String, after: Option<String>, limit: usize },
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    Anything,
    Nothing,
    Present,
    Wrong,
}

fn key() -> impl Strategy<Value = String> {
    "[ab\0é]{1,3}"
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![Just(Expect::Anything), Just(Expect::Nothing), Just(Expect::Present), Just(Expect::Wrong)]
}

fn step() -> impl Strategy<Value = Step> {
    let over = prop::bool::weighted(0.2);
    prop_oneof![
        6 => (key(), any::<u8>(), over, expect())
            .prop_map(|(key, value, over, expect)| Step::Set { key, value, over, expect }),
        3 => (key(), expect()).prop_map(|(key, expect)| Step::Delete { key, expect }),
        3 => ("[abé]{0,2}", prop::option::of(key()), 1..5_usize)
            .prop_map(|(prefix, after, limit)| Step::List { prefix, after, limit }),
        1 => Just(Step::Reopen),
    ]
}

/// What a store is to be like: revisions and values by key.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (u64, u8)>,
    last: u64,
}

impl Model {
    fn revision(&self, key: &str) -> u64 {
        self.entries.get(key).map_or(0, |(revision, _)| *revision)
    }

    fn expected(&self, key: &str, expect: Expect) -> Option<u64> {
        match expect {
            Expect::Anything => None,
            Expect::Nothing => Some(0),
            Expect::Present => Some(self.revision(key)),
            Expect::Wrong => Some(u64::MAX),
        }
    }

    fn mismatch(&self, key: &str, expect: Expect) -> Option<KvError> {
        let (expected, actual) = (self.expected(key, expect)?, self.revision(key));
        (expected != actual).then(|| KvError::RevisionMismatch { key: key.to_owned(), expected, actual })
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let matching =
            self.entries.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|a| key.as_str() > a));
        let all: Vec<String> = matching.cloned().collect();
        let keys: Vec<String> = all.iter().take(limit).cloned().collect();
        let next = keys.last().filter(|_| all.len() > limit).cloned();
        Page { keys, next }
    }
}

async fn follow(steps: Vec<Step>) {
    // Reopened like a file, without its waits for the disk.
    let disk = Arc::new(Disk::default());
    let mut store = on(&disk);
    set(&store, "other", b"").await;
    store.delete(SPACE, "other", None).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Set { key, value, over, expect } => {
                let options =
                    SetOptions { ttl: over.then_some(Duration::ZERO), expected_revision: model.expected(&key, expect) };
                let answer = store.set(SPACE, &key, vec![value], options).await;
                match model.mismatch(&key, expect) {
                    Some(mismatch) => assert_eq!(answer, Err(mismatch)),
                    None => {
                        let revision = answer.unwrap();
                        assert!(revision > model.last);
                        model.last = revision;
                        model.entries.remove(&key);
                        if !over {
                            model.entries.insert(key, (revision, value));
                        }
                    }
                }
            }
            Step::Delete { key, expect } => {
                let answer = store.delete(SPACE, &key, model.expected(&key, expect)).await;
                match model.mismatch(&key, expect) {
                    Some(mismatch) => assert_eq!(answer, Err(mismatch)),
                    None => assert_eq!(answer, Ok(model.entries.remove(&key).is_some())),
                }
            }
            Step::List { prefix, after, limit } => {
                let page = store.list(SPACE, &prefix, after.as_deref(), limit).await.unwrap();
                assert_eq!(page, model.list(&prefix, after.as_deref(), limit));
            }
            Step::Reopen => {
                drop(store);
                store = on(&disk);
            }
        }
        for (key, (revision, value)) in &model.entries {
            let entry = Entry { value: vec![*value], revision: *revision };
            assert_eq!(store.get(SPACE, key).await, Ok(Some(entry)));
        }
        assert_eq!(store.list(SPACE, "", None, 1000).await.unwrap(), model.list("", None, 1000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_map_does(steps in prop::collection::vec(step(), 1..60)) {
        Runtime::new().unwrap().block_on(follow(steps));
    }
}
