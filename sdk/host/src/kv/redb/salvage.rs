//! Reads everything that can be read of a store, whether it is damaged or not.
//!
//! Where redb can't go on, this looks for keys that may come after that place, the nearest first, and reads backwards from
//! the first that is found. If the damaged page is a leaf of the tree, only the keys in that page are lost.

use std::convert::Infallible;
use std::ops::Bound;

use ::redb::{Database, Range};

use super::file::{RedbFailure, catch};
use super::row::{EntryValue, Row};
use super::snapshot::{Snapshot, Stored};
use super::tables::EntryKey;

/// A namespace and a key.
type At = (String, String);

/// How many sentences about damage are listed. Of more, only the number is.
const MAX_LISTED: usize = 100;
/// The largest number of damaged values in a row that are skipped: more are a gap. Also the largest number of gaps that are crossed: after
/// that the rest is not read.
const PATIENCE: usize = 10_000;

/// The damage that was found.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// A sentence for each.
    pub(super) listed: Vec<String>,
    /// The number of sentences that are not listed.
    more: u64,
}

impl Damage {
    /// Adds a sentence, unless it is listed already. If [`MAX_LISTED`] are listed, it is only counted, even if it is one of them.
    pub(super) fn add(&mut self, what: String) {
        if self.listed.len() >= MAX_LISTED {
            self.more += 1;
        } else if !self.listed.contains(&what) {
            self.listed.push(what);
        }
    }

    /// Whether no damage was found.
    pub(super) fn is_none(&self) -> bool {
        self.listed.is_empty()
    }

    /// The sentences, and the number of those that are not listed.
    pub(super) fn into_lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
    }
}

/// Whether every entry of the database can be read, with its value.
pub(super) fn is_whole(database: &Database) -> bool {
    catch(|| Snapshot::of(database)).is_ok_and(|snapshot| {
        let mut damage = Damage::default();
        let Ok(()) = read_all::<Infallible>(&snapshot, &[], &mut damage, &mut |_, _, _| Ok(()));
        damage.is_none()
    })
}

/// Calls `visit` once with each entry that is not damaged, and adds the rest to `damage`. `namespaces` are known ones, in
/// which to look for keys. The error is that of `visit`, which ends the reading.
pub(super) fn read_all<E>(
    snapshot: &Snapshot,
    namespaces: &[String],
    damage: &mut Damage,
    visit: &mut dyn FnMut(&str, &str, Stored) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk = Walk { snapshot, damage, visit, last: None };
    let mut from = Bound::Unbounded;
    let mut beyond: Option<At> = None;
    for _ in 0..PATIENCE {
        if walk.forward(&from)? {
            return Ok(());
        }
        beyond = walk.last.clone().max(beyond);
        let next =
            probes(beyond.as_ref(), namespaces).into_iter().find_map(|at| Some((walk.first_from(&at).ok()?, at)));
        let (first, next) = next.unzip();
        let upper = next.as_ref().map_or(Bound::Unbounded, |at: &At| Bound::Excluded((at.0.as_str(), at.1.as_str())));
        let after = walk.last.clone();
        let behind = walk.backward(after.as_ref(), upper)?.or(first.flatten());
        walk.damage.add(gap(after.as_ref(), behind.as_ref()));
        let Some(next) = next else { return Ok(()) };
        // So that the next gap is looked for after this place.
        beyond = Some(next.clone());
        from = Bound::Included(next);
    }
    walk.damage.add("there is so much damage that the rest was not looked at".to_owned());
    Ok(())
}

/// The state of reading through the entries.
struct Walk<'a, E> {
    snapshot: &'a Snapshot,
    damage: &'a mut Damage,
    visit: &'a mut dyn FnMut(&str, &str, Stored) -> Result<(), E>,
    /// The last entry that was read forwards and is not damaged.
    last: Option<At>,
}

type Entries = Range<'static, EntryKey, EntryValue>;

impl<E> Walk<'_, E> {
    /// Reads forwards from here. Returns whether it has reached the end.
    fn forward(&mut self, from: &Bound<At>) -> Result<bool, E> {
        let from = from.as_ref().map(|at| (at.0.as_str(), at.1.as_str()));
        let Ok(mut entries) = self.range(from, Bound::Unbounded) else { return Ok(false) };
        let mut damaged = 0;
        while let Ok(next) = self.step(&mut entries, false) {
            match next {
                None => return Ok(true),
                // A damaged tree may contain a loop.
                Some((at, _)) if Some(&at) <= self.last.as_ref() => return Ok(false),
                Some((at, Some(stored))) => {
                    (self.visit)(&at.0, &at.1, stored)?;
                    self.last = Some(at);
                    damaged = 0;
                }
                // Its key may be damaged too, so `last` does not change.
                Some((_, None)) => {
                    damaged += 1;
                    if damaged > PATIENCE {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Reads backwards from `upper` as far as possible, down to `lower`, and returns the first key that it has reached.
    fn backward(&mut self, lower: Option<&At>, upper: Bound<(&str, &str)>) -> Result<Option<At>, E> {
        let from = lower.map_or(Bound::Unbounded, |at| Bound::Excluded((at.0.as_str(), at.1.as_str())));
        let mut lowest: Option<At> = None;
        let Ok(mut entries) = self.range(from, upper) else { return Ok(None) };
        let mut damaged = 0;
        while let Ok(Some((at, stored))) = self.step(&mut entries, true) {
            if Some(&at) <= lower || lowest.as_ref().is_some_and(|lowest| at >= *lowest) {
                break;
            }
            match stored {
                Some(stored) => {
                    (self.visit)(&at.0, &at.1, stored)?;
                    lowest = Some(at);
                    damaged = 0;
                }
                None if damaged > PATIENCE => break,
                None => damaged += 1,
            }
        }
        Ok(lowest)
    }

    /// The first key at or after this one; an error if it can't be read.
    fn first_from(&mut self, at: &At) -> Result<Option<At>, RedbFailure> {
        let from = Bound::Included((at.0.as_str(), at.1.as_str()));
        let mut entries = self.range(from, Bound::Unbounded)?;
        Ok(self.step(&mut entries, false)?.map(|(at, _)| at))
    }

    /// The entries between two places; an error if redb can't begin to read them.
    fn range(&self, from: Bound<(&str, &str)>, to: Bound<(&str, &str)>) -> Result<Entries, RedbFailure> {
        catch(|| Ok(self.snapshot.entries.range::<(&str, &str)>((from, to))?))
    }

    /// Reads the next entry, or with `back` the one before. If its value is damaged, adds that to the damage, and returns it
    /// without the value.
    fn step(&mut self, entries: &mut Entries, back: bool) -> Result<Option<(At, Option<Stored>)>, RedbFailure> {
        let snapshot = self.snapshot;
        let next = catch(|| {
            let Some(next) = (if back { entries.next_back() } else { entries.next() }) else { return Ok(None) };
            let (at, entry) = next?;
            let (namespace, key) = at.value();
            let at = (namespace.to_owned(), key.to_owned());
            let stored = catch(|| snapshot.stored(namespace, key, Row::of(entry.value())));
            Ok(Some((at, stored.ok())))
        })?;
        if let Some(((namespace, key), None)) = &next {
            self.damage.add(format!("the value of the key `{key}` of `{namespace}` is not what was written"));
        }
        Ok(next)
    }
}

/// The sentence for a range of keys that can't be read.
fn gap(after: Option<&At>, before: Option<&At>) -> String {
    let name = |at: &At| format!("`{}` of `{}`", at.1, at.0);
    match (after, before) {
        (None, None) => "no key can be read".to_owned(),
        (Some(after), None) => format!("what comes after the key {} can't be read", name(after)),
        (None, Some(before)) => format!("what comes before the key {} can't be read", name(before)),
        (Some(after), Some(before)) => {
            format!("what is between the keys {} and {} can't be read", name(after), name(before))
        }
    }
}

/// Keys that may exist after this one, the nearest first.
fn probes(after: Option<&At>, namespaces: &[String]) -> Vec<At> {
    let none = At::default();
    let (namespace, key) = after.unwrap_or(&none);
    let mut probes: Vec<At> = successors(key).map(|key| (namespace.clone(), key)).collect();
    probes.extend(successors(namespace).map(|namespace| (namespace, String::new())));
    for namespace in namespaces {
        probes.push((namespace.clone(), String::new()));
        probes.extend((' '..='~').map(|first| (namespace.clone(), first.to_string())));
    }
    probes.retain(|probe| Some(probe) > after);
    probes.sort();
    probes.dedup();
    probes
}

/// For each prefix of the text, returns the prefix with its last character replaced by the next one. That comes after all
/// texts that begin with the prefix.
fn successors(text: &str) -> impl Iterator<Item = String> {
    text.char_indices().filter_map(|(at, last)| {
        let next = (last..=char::MAX).nth(1)?;
        Some(format!("{}{next}", &text[..at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_keys_are_probed_first() {
        let at = |namespace: &str, key: &str| (namespace.to_owned(), key.to_owned());
        let namespaces = ["a".to_owned(), "orders".to_owned(), "z".to_owned()];
        let probes = probes(Some(&at("orders", "o/19")), &namespaces);
        assert_eq!(probes[..3], [at("orders", "o/1:"), at("orders", "o/2"), at("orders", "o0")]);
        assert!(
            probes.contains(&at("orders", "p")) && probes.contains(&at("ordert", "")) && probes.contains(&at("z", "5"))
        );
        assert!(!probes.iter().any(|probe| probe.0 == "a"));
        assert!(super::probes(None, &namespaces).starts_with(&[at("a", ""), at("a", " ")]));
    }
}
