//! The help for an unknown name: the name that was probably meant, or else all known names. `ixt_manifest` decides which names are similar.

use ixt_manifest::{Diagnostic, Manifest, closest};

/// Sets the help of the diagnostic of an unknown name, in place of an earlier one: `did you mean …?` if a known name is similar; otherwise
/// `there_are` (such as "the modules are") and all known names, in their order, in backticks; or `there is none` if none is known.
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

/// The message, without a line end, that a module does not provide a service of this topic. It names the most similar topic of a service
/// that the module provides, or else all of them in the manifest's order, or says that there is none. Topics of events are not looked at.
pub(crate) fn unknown_topic(manifest: &Manifest, topic: &str) -> String {
    let name = &manifest.module.name;
    let topics: Vec<_> = manifest.services.iter().map(|service| service.topic.as_str()).collect();
    match closest(topic, topics.iter().copied()) {
        Some(near) => format!("the module `{name}` does not provide `{topic}`; did you mean `{near}`?"),
        None if topics.is_empty() => format!("the module `{name}` does not provide `{topic}`; it provides no service"),
        None => format!("the module `{name}` does not provide `{topic}`; it provides: {}", topics.join(", ")),
    }
}

/// The names in backticks, with commas.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ixt_manifest::{Code, Source};

    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_otherwise_all_are_listed() {
        let help = |known: &[&str]| {
            let diagnostic = Diagnostic::new(Code::UnknownKey, "x");
            let diagnostic = suggest(diagnostic, "ordres", known.iter().copied(), "the modules are");
            diagnostic.help_text().unwrap().to_owned()
        };
        assert_eq!(help(&["mail", "orders"]), "did you mean `orders`?");
        assert_eq!(help(&["mail", "echo"]), "the modules are `mail`, `echo`");
        assert_eq!(help(&[]), "there is none");

        let manifest = |provides: &str| {
            let text = format!("schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n{provides}");
            Manifest::parse(&Source::new("manifest.toml", text)).unwrap()
        };
        let some = manifest("[provides]\nservices = [\"orders.get\"]\n");
        assert!(unknown_topic(&some, "orders.gte").ends_with("did you mean `orders.get`?"));
        assert!(unknown_topic(&some, "mail").ends_with("it provides: orders.get"));
        assert!(unknown_topic(&manifest(""), "mail").ends_with("it provides no service"));
    }
}
