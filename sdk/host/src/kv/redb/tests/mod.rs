//! Tests that a store in a file and one in memory conform, and the helpers of the other test files.

mod backup;
mod damage;
mod directory;
mod disk_failures;
mod expiry;
mod model;
mod quotas;
mod reads_and_writes;
mod settling;
mod size;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ::redb::TableDefinition;
use ixt_protocol::code;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;
use crate::kv::redb::backend::{Fence, Fenced};
use crate::kv::redb::directory::FILE_NAME;
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

/// Creates a directory that only this user can enter.
fn private(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
}

/// Polls a future once, and returns its result if it is ready.
fn poll_once<T>(future: &mut KvFuture<T>) -> Option<Result<T, KvError>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

/// A disk in memory that can be full, or fail.
#[derive(Debug, Default)]
struct Disk {
    memory: InMemoryBackend,
    full: AtomicBool,
    /// How many of the next syncs fail, after the data was written.
    failing_syncs: AtomicUsize,
    /// How many of the next reads succeed; `None`: all.
    readable: Mutex<Option<usize>>,
    /// How many reads succeed after the next sync that fails; `None`: all.
    readable_after_failure: Mutex<Option<usize>>,
    /// How many writes have failed because the disk was full.
    failed: AtomicUsize,
    /// How many bytes were written.
    written: AtomicUsize,
}

impl Disk {
    /// Lets so many reads succeed, and those after them fail; with `None` all succeed.
    fn allow_reads(&self, reads: Option<usize>) {
        *self.readable.lock().unwrap() = reads;
    }

    fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.memory.len().unwrap()).unwrap()];
        self.memory.read(0, &mut content).unwrap();
        content
    }

    /// Makes the page that has these bytes one of no known type: redb panics or returns an error when it reads it.
    fn damage_page_of(&self, bytes: &[u8]) {
        let file = self.content();
        let at = file.windows(bytes.len()).position(|window| window == bytes).expect("it is there");
        self.memory.write((at / 4096 * 4096) as u64, &[0xff]).unwrap();
    }

    fn fail_syncs(&self, syncs: usize) {
        self.failing_syncs.store(syncs, Ordering::SeqCst);
    }

    fn is_full(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(left) = &mut *self.readable.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the disk can't be read"))?;
        }
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.is_full()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.failing_syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => {
                if let Some(reads) = self.readable_after_failure.lock().unwrap().take() {
                    self.allow_reads(Some(reads));
                }
                Err(io::Error::other("the disk has failed"))
            }
            Err(_) => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.is_full().inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::SeqCst);
        })?;
        self.written.fetch_add(data.len(), Ordering::SeqCst);
        self.memory.write(offset, data)
    }
}

/// The backend of a database without a store.
fn fenced(backend: Arc<dyn StorageBackend>) -> Fenced {
    Fenced::new(backend, Fence::default(), Arc::default())
}

fn on(disk: &Arc<Disk>) -> RedbStore {
    RedbStore::with_backend(Arc::clone(disk) as Arc<_>, Path::new("/data/kv.redb"), Quotas::each(FILE_QUOTA)).unwrap()
}
