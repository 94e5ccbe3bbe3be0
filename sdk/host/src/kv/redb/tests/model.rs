//! Compares the store with a model of it, a map, in random steps.

use super::*;

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

/// The model: revisions and values by key.
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
    // In memory, which can be opened again like a file and is faster.
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
    fn a_store_does_what_a_map_does(steps in prop::collection::vec(step(), 1..60)) {
        Runtime::new().unwrap().block_on(follow(steps));
    }
}
