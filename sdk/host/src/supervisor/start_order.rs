//! The order in which modules are started: those whose services others require come first. They are shut down in the
//! reverse order.

use std::collections::HashMap;

use ixt_manifest::Manifest;

/// Sorts modules into groups that are started one after the other. A group has the indexes of its modules in
/// `manifests`, in ascending order. No module requires a service of a later group. Modules that require each other in a
/// circle are in one group. A required service that none of the modules provides is ignored, as is one that the module
/// provides itself. Required events do not matter.
pub(crate) fn groups(manifests: &[&Manifest]) -> Vec<Vec<usize>> {
    let mut providers = HashMap::new();
    for (index, manifest) in manifests.iter().enumerate() {
        providers.extend(manifest.services.iter().map(|service| (service.topic.as_str(), index)));
    }
    let requires = |index: usize| {
        let topics = manifests[index].requires.services.iter();
        let modules = topics.filter_map(|topic| providers.get(topic.as_str()).copied());
        modules.filter(move |provider| *provider != index).collect::<Vec<_>>()
    };
    let mut waits: Vec<Vec<usize>> = (0..manifests.len()).map(requires).collect();
    let mut left: Vec<usize> = (0..manifests.len()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let (mut group, rest): (Vec<_>, Vec<_>) = left.iter().partition(|index| waits[**index].is_empty());
        if group.is_empty() {
            // The modules that are left are in one or more circles, or wait for one. A module in a circle reaches
            // itself.
            group = left.iter().copied().filter(|index| reaches(*index, *index, &waits)).collect();
            // If there are several circles, the group is one that waits for no other circle.
            let first = group.iter().copied().find(|index| {
                group.iter().all(|other| !reaches(*index, *other, &waits) || reaches(*other, *index, &waits))
            });
            let Some(first) = first else { return vec![left] };
            group.retain(|other| reaches(first, *other, &waits));
            left.retain(|index| !group.contains(index));
        } else {
            left = rest;
        }
        for waits in &mut waits {
            waits.retain(|index| !group.contains(index));
        }
        groups.push(group);
    }
    groups
}

/// Whether the module `from` requires a service of `to`, directly or through others. `waits` has the modules that each
/// one directly requires.
fn reaches(from: usize, to: usize, waits: &[Vec<usize>]) -> bool {
    let mut seen = vec![false; waits.len()];
    let mut open = waits[from].clone();
    while let Some(index) = open.pop() {
        if index == to {
            return true;
        }
        if !std::mem::replace(&mut seen[index], true) {
            open.extend(&waits[index]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use ixt_manifest::Source;

    use super::*;

    fn ordered(modules: &[(&str, &[&str])]) -> Vec<Vec<usize>> {
        let manifests: Vec<_> = modules
            .iter()
            .map(|(name, requires)| {
                let text = format!(
                    "schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n\
                     [provides]\nservices = [\"{name}.do\"]\n[requires]\nservices = {requires:?}\n"
                );
                Manifest::parse(&Source::new("manifest.toml", &text)).unwrap()
            })
            .collect();
        groups(&manifests.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_required_comes_first() {
        assert_eq!(ordered(&[("a", &["b.do", "c.do"]), ("b", &["c.do"]), ("c", &[])]), [[2], [1], [0]]);
        assert_eq!(ordered(&[("a", &[]), ("b", &[])]), [[0, 1]]);
        assert_eq!(ordered(&[("a", &["elsewhere.do", "a.do"])]), [[0]]);
        assert!(ordered(&[]).is_empty());
    }

    #[test]
    fn a_circle_is_started_together_and_what_needs_it_afterwards() {
        let modules: &[(&str, &[&str])] =
            &[("user", &["a.do"]), ("a", &["b.do"]), ("b", &["a.do", "base.do"]), ("base", &[])];
        assert_eq!(ordered(modules), [vec![3], vec![1, 2], vec![0]]);
        // Two circles, one of which needs the other.
        let modules: &[(&str, &[&str])] =
            &[("a", &["b.do", "c.do"]), ("b", &["a.do"]), ("c", &["d.do"]), ("d", &["c.do"])];
        assert_eq!(ordered(modules), [[2, 3], [0, 1]]);
    }
}
