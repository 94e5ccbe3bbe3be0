//! What to say of a name that is not known: the name that was probably meant, or else all names that there are.

use ixt_manifest::{Diagnostic, Manifest, closest};

/// Adds a help to a diagnostic of an unknown name: `did you mean …?`, or `there_are` and the names, or `there is none`.
pub(crate) fn suggest<'a>(
    diagnostic: Diagnostic,
    unknown: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    there_are: &str,
) -> Diagnostic {
    diagnostic.help(match closest(unknown, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.clone().next().is_none() => "there is none".to_owned(),
        None => format!("{there_are} {}", quoted(known)),
    })
}

/// That a module does not provide a service of this topic.
pub(crate) fn unknown_topic(manifest: &Manifest, topic: &str) -> String {
    let name = &manifest.module.name;
    let topics: Vec<_> = manifest.services.iter().map(|service| service.topic.as_str()).collect();
    match closest(topic, topics.iter().copied()) {
        Some(near) => format!("the module `{name}` does not provide `{topic}`; did you mean `{near}`?"),
        None if topics.is_empty() => format!("the module `{name}` does not provide `{topic}`; it provides no service"),
        None => format!("the module `{name}` does not provide `{topic}`; it provides: {}", topics.join(", ")),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
