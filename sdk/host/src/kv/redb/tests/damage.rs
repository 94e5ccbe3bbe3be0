//! Files that are damaged at many places: a check finds the damage and changes nothing, and a repair saves the rest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;

use super::super::directory::FILE_NAME;
use super::super::*;

/// Values by namespace and key.
type Entries = BTreeMap<(String, String), Vec<u8>>;

/// The entries with which a store is filled: enough for trees with branches.
fn entries() -> Entries {
    let mut entries = Entries::new();
    for number in 0..300_u16 {
        let value = number.to_le_bytes().repeat(50);
        entries.insert(("mail".to_owned(), format!("outbox/{number:04}")), value.clone());
        entries.insert(("orders".to_owned(), format!("order {number}")), value);
    }
    for number in 0..3_u8 {
        entries.insert(("orders".to_owned(), format!("large/{number}")), vec![number; 100_000]);
    }
    entries
}

fn options(key: &str) -> SetOptions {
    // Some keys expire, but not during the test.
    SetOptions { ttl: key.ends_with('7').then_some(Duration::from_secs(100_000)), ..SetOptions::default() }
}

/// A data directory with a store of these entries, which is closed, and the store's file from before that, as if the host had been killed.
async fn filled() -> (TempDir, PathBuf, Entries, Vec<u8>) {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    let store = RedbStore::open(&data).unwrap();
    let entries = entries();
    let writes: Vec<_> = entries
        .iter()
        .map(|((module, key), value)| tokio::spawn(store.set(module, key, value.clone(), options(key))))
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let killed = fs::read(data.join(FILE_NAME)).unwrap();
    drop(store);
    (parent, data, entries, killed)
}

fn count(entries: &Entries) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for (module, _) in entries.keys() {
        *keys.entry(module.clone()).or_insert(0) += 1;
    }
    keys
}

/// Reads a store. `expected` has all keys that it may have.
async fn content(store: &RedbStore, expected: &Entries) -> Entries {
    let mut found = Entries::new();
    for (module, key) in expected.keys() {
        if let Some(entry) = store.get(module, key).await.unwrap() {
            found.insert((module.clone(), key.clone()), entry.value);
        }
    }
    found
}

#[tokio::test]
async fn a_store_without_damage_is_found_to_be_whole() {
    let (_parent, data, entries, killed) = filled().await;
    let path = data.join(FILE_NAME);
    let closed = fs::read(&path).unwrap();
    for file in [closed, killed] {
        fs::write(&path, &file).unwrap();
        let inspection = RedbStore::check(&data).unwrap();
        assert_eq!((inspection.damage, inspection.keys), (vec![], count(&entries)));
        let repair = RedbStore::repair(&data).unwrap();
        assert_eq!((repair.damage, repair.keys, repair.aside), (vec![], count(&entries), None));
        assert!(fs::read(&path).unwrap() == file, "it was touched");
    }
    let names = fs::read_dir(&data).unwrap().count();
    assert_eq!(names, 2, "the store and its format");

    let store = RedbStore::open(&data).unwrap();
    for error in [RedbStore::check(&data).unwrap_err(), RedbStore::repair(&data).unwrap_err()] {
        assert!(matches!(&error, OpenError::InUse { .. }), "{error}");
    }
    drop(store);
    for nowhere in [data.join("none"), tempdir().unwrap().path().to_owned()] {
        let error = RedbStore::check(&nowhere).unwrap_err();
        assert!(matches!(&error, OpenError::NoStore { directory } if *directory == nowhere), "{error}");
        assert!(!nowhere.join(FILE_NAME).exists());
    }
}

#[tokio::test]
async fn a_new_store_and_an_empty_file_are_found_to_be_whole() {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    drop(RedbStore::open(&data).unwrap());
    assert!(RedbStore::check(&data).unwrap().damage.is_empty());
    // The file is empty if the host was killed before it had written anything.
    fs::write(data.join(FILE_NAME), "").unwrap();
    assert!(RedbStore::check(&data).unwrap().damage.is_empty());
    RedbStore::open(&data).unwrap();
}

/// Replaces the store's file by a damaged one, checks and repairs it, and returns how many keys were lost; `None` if none was.
async fn damage(path: &Path, file: &[u8], entries: &Entries) -> Option<usize> {
    let data = path.parent().unwrap();
    fs::write(path, file).unwrap();
    let inspection = RedbStore::check(data).unwrap();
    assert!(fs::read(path).unwrap() == file, "the check has written");
    if inspection.damage.is_empty() {
        let store = RedbStore::open(data).unwrap();
        let found = content(&store, entries).await;
        for (at, value) in &found {
            assert!(entries.get(at) == Some(value), "{at:?} is wrong");
        }
        return Some(entries.len() - found.len()).filter(|lost| *lost > 0);
    }
    let repair = RedbStore::repair(data).unwrap();
    assert_eq!(repair.keys, inspection.keys);
    let aside = repair.aside.unwrap();
    assert!(fs::read(&aside).unwrap() == file, "the damaged file is kept");
    fs::remove_file(aside).unwrap();

    let again = RedbStore::check(data).unwrap();
    assert_eq!((again.damage, &again.keys), (vec![], &repair.keys));
    let store = RedbStore::open(data).unwrap();
    let saved = content(&store, entries).await;
    assert_eq!(count(&saved), repair.keys);
    for (at, value) in &saved {
        assert!(entries.get(at) == Some(value), "{at:?} is wrong");
    }
    Some(entries.len() - saved.len())
}

/// Whether the check finds no damage.
fn is_whole(path: &Path) -> bool {
    RedbStore::check(path.parent().unwrap()).unwrap().damage.is_empty()
}

#[tokio::test]
async fn wherever_a_file_is_damaged_the_rest_is_saved() {
    quiet_panics();
    let (_parent, data, entries, _) = filled().await;
    let path = data.join(FILE_NAME);
    let sound = fs::read(&path).unwrap();
    let pages = sound.len() / 4096;
    let (mut found, mut saved_most) = (0, 0);
    // The pages are damaged in three ways.
    for page in (1..pages).step_by(pages / 20) {
        let mut file = sound.clone();
        let bytes = &mut file[page * 4096..(page + 1) * 4096];
        match page % 3 {
            0 => bytes[page % 4096] ^= 1,
            1 => bytes.fill(0),
            _ => bytes.iter_mut().for_each(|byte| *byte ^= 0x5a),
        }
        if let Some(lost) = damage(&path, &file, &entries).await {
            found += 1;
            saved_most += usize::from(lost < entries.len() / 5);
        }
    }
    assert!(found > 5, "{found} places");
    assert!(saved_most * 10 >= found * 7, "most was saved only at {saved_most} of {found} places");
}

/// Damage: bytes that replace others.
#[derive(Debug, Clone)]
struct Hit {
    /// The place, as a part of the file's length.
    at: f64,
    bytes: Vec<u8>,
}

fn hit() -> impl Strategy<Value = Hit> {
    // A few bytes, as of a bad cell, or a whole block.
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 1..9), prop::collection::vec(any::<u8>(), 4096)];
    (0.0..1.0, bytes).prop_map(|(at, bytes)| Hit { at, bytes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_damaged_nothing_wrong_is_saved(hits in prop::collection::vec(hit(), 1..6), killed in any::<bool>()) {
        quiet_panics();
        Runtime::new().unwrap().block_on(async {
            let (_parent, data, entries, killed_file) = filled().await;
            let path = data.join(FILE_NAME);
            let mut file = if killed { killed_file } else { fs::read(&path).unwrap() };
            for Hit { at, bytes } in &hits {
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let at = (at * file.len() as f64) as usize;
                let end = file.len().min(at + bytes.len());
                file[at..end].copy_from_slice(&bytes[..end - at]);
            }
            fs::write(&path, &file).unwrap();
            let whole = is_whole(&path);
            let lost = damage(&path, &file, &entries).await;
            // In the file of a killed host, damage of the last write looks like a write that was not finished.
            assert!(!whole || killed || lost.is_none(), "{lost:?} are lost, and it is said to be whole");
        });
    }
}

#[tokio::test]
async fn in_the_file_of_a_killed_host_the_rest_is_saved_too() {
    quiet_panics();
    let (_parent, data, entries, _) = filled().await;
    let path = data.join(FILE_NAME);
    let store = RedbStore::open(&data).unwrap();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    store.set("orders", "large/0", vec![0; 100_000], options("large/0")).await.unwrap();
    let elsewhere = data.parent().unwrap().join("copy");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
    loop {
        let mut file = fs::read(&path).unwrap();
        let at = file.windows(50_000).position(|window| window == vec![2; 50_000]).expect("it is there");
        file[at] ^= 1;
        // Until the file is settled, a moment after the last write, everything would be lost.
        match damage(&elsewhere.join(FILE_NAME), &file, &entries).await {
            Some(1) => break,
            lost => assert!(std::time::Instant::now() < patience, "{lost:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_store_is_put_aside() {
    quiet_panics();
    let (_parent, data, entries, killed) = filled().await;
    let path = data.join(FILE_NAME);
    let sound = fs::read(&path).unwrap();
    let mut no_header = sound.clone();
    no_header[..64].fill(b'x');
    let mut no_body = sound.clone();
    no_body[4096..].fill(b'x');
    for file in [b"text", &sound[..sound.len() / 2], &sound[..100], &no_header, &no_body, &killed[..killed.len() / 2]] {
        fs::write(&path, file).unwrap();
        if let Err(error) = RedbStore::open(&data) {
            let text = error.to_string();
            let start = format!("{} is damaged: ", path.display());
            assert!(text.starts_with(&start) && text.contains("`ixt kv repair --data-dir "), "{text}");
            assert!(!text.contains("assert") && !text.contains("unwrap") && !text.contains("Corrupted"), "{text}");
        }
        assert!(damage(&path, file, &entries).await.is_some());
    }
}
