//! A graph of which types hold which, without a meaning of "hold": the callers decide what counts. Its algorithms do
//! not recurse, since a chain may be thousands of types long.

use std::collections::{BTreeMap, BTreeSet};

/// Types by name, each with the names of the types that it holds. A held type that is not in the graph holds nothing.
pub(crate) struct Graph<'m>(BTreeMap<&'m str, Vec<&'m str>>);

impl<'m> Graph<'m> {
    /// A graph of these types, each with those that it holds. Of two entries for one type, the last counts.
    pub(crate) fn new(holds: impl IntoIterator<Item = (&'m str, Vec<&'m str>)>) -> Self {
        Self(holds.into_iter().collect())
    }

    /// The strongly connected components, by Kosaraju's algorithm: for each type of the graph the number of its
    /// component. Two types have the same number if each of them holds the other, directly or through others. A type in
    /// no circle, or that only holds itself, shares its number with no other. The numbers have no further meaning, and
    /// may have gaps.
    pub(crate) fn circles(&self) -> BTreeMap<&'m str, usize> {
        let mut finished = Vec::new();
        let mut seen = BTreeSet::new();
        for start in self.0.keys() {
            let mut path = Vec::new();
            if seen.insert(*start) {
                path.push((*start, self.0[start].iter()));
            }
            while let Some((name, rest)) = path.last_mut() {
                match rest.next() {
                    None => {
                        finished.push(*name);
                        path.pop();
                    }
                    Some(held) => {
                        if let Some((held, holds)) = self.0.get_key_value(held)
                            && seen.insert(held)
                        {
                            path.push((held, holds.iter()));
                        }
                    }
                }
            }
        }
        let holders = self.holders();
        let mut circles = BTreeMap::new();
        for (number, start) in finished.into_iter().rev().enumerate() {
            let mut pending = vec![start];
            while let Some(name) = pending.pop() {
                if !circles.contains_key(name) {
                    circles.insert(name, number);
                    pending.extend(holders.get(name).into_iter().flatten().filter(|name| !circles.contains_key(*name)));
                }
            }
        }
        circles
    }

    /// The `set`, and all types that hold one of its types, directly or through others.
    pub(crate) fn with_holders(&self, mut set: BTreeSet<&'m str>) -> BTreeSet<&'m str> {
        let holders = self.holders();
        let mut pending: Vec<&str> = set.iter().copied().collect();
        while let Some(name) = pending.pop() {
            for holder in holders.get(name).into_iter().flatten() {
                if set.insert(holder) {
                    pending.push(holder);
                }
            }
        }
        set
    }

    /// Whether `holder` holds `held` directly. `held` need not be in the graph; `false` if `holder` is not.
    pub(crate) fn holds(&self, holder: &str, held: &str) -> bool {
        self.0.get(holder).is_some_and(|holds| holds.contains(&held))
    }

    /// For each held type the types that hold it directly. A type that nothing holds is not in it.
    fn holders(&self) -> BTreeMap<&'m str, Vec<&'m str>> {
        let mut holders = BTreeMap::<&str, Vec<&str>>::new();
        for (holder, held) in &self.0 {
            for held in held {
                holders.entry(held).or_default().push(holder);
            }
        }
        holders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_and_chains_are_told_apart() {
        let graph = Graph::new([("a", vec!["b"]), ("b", vec!["c", "x"]), ("c", vec!["b"]), ("x", vec!["x", "gone"])]);
        let circles = graph.circles();
        assert_eq!(circles["b"], circles["c"]);
        assert!(circles["a"] != circles["b"] && circles["x"] != circles["b"]);
        assert!(graph.holds("x", "x") && !graph.holds("a", "a"));
        assert_eq!(graph.with_holders(BTreeSet::from(["c"])), BTreeSet::from(["a", "b", "c"]));
    }
}
