//! What a change of a manifest does to the callers of the module, to the subscribers of its events, and to those who run and
//! configure it.
//!
//! *Input* is what the module receives: requests and its configuration. (The events that it handles are declared by other modules.)
//! A change is compatible if the new module accepts all that the old one accepted. *Output* is what it sends: responses and events.
//! A change is compatible if a receiver that can handle all that the old module sends can handle all that the new one sends;
//! receivers ignore fields that they do not know. So a field may be added to output, but a field that was always there may not be
//! removed or become optional.
//!
//! - this file: the comparison as a whole; the module and what it requires
//! - `topics`: services, events and their messages
//! - `fields`, `types`, `bounds`: what messages and the configuration consist of
//! - `process`: what changes for those who run the module

mod bounds;
mod fields;
mod process;
mod topics;
mod types;

use std::collections::BTreeSet;

use semver::Version;

use crate::diagnostic::{ChangeRule, Diagnostic, Report, Severity};
use crate::model::{Manifest, Name};
use crate::source::{Source, Span};

/// Judges the change from `old` to `new`: a report of the differences that fall under a [`ChangeRule`], breaking ones first, then
/// notes, then compatible ones; each group by the places in the new manifest. It is empty if there are none. Two manifests with
/// different module names are compared all the same. Each pair is a manifest and the source that it was parsed from. Nothing is
/// read from disk.
///
/// The place of a change is in the new manifest; if something was removed, it is what that was removed from. A place in the old
/// manifest is a related place. What is new has none, except an error, a value of an enum and a case.
///
/// A type of `[types]` is compared only where a message or the configuration uses it. Not compared are: all descriptions; the
/// author, the licence and the runtime targets; topics that are no longer required, `[requires.from]`, and whether there is a
/// `[requires]`; `blocking`; `retryable`; the order of an enum's values; the default of a field of output; the deprecation of an
/// error, of an enum's value or of a case; the end of a deprecation, and its text; `sha256` and `size_bytes`.
#[must_use]
pub fn compare(old: (&Source, &Manifest), new: (&Source, &Manifest)) -> Report {
    let mut comparison = Comparison { old, new, changes: Vec::new(), compared: BTreeSet::new() };
    comparison.module();
    comparison.services();
    comparison.events();
    comparison.requires();
    comparison.config();
    comparison.process();
    comparison.version();
    Report::new(new.0, comparison.changes)
}

/// Which way values of a type go, seen from the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    /// A request: unknown fields are ignored.
    Input,
    /// A response or an event.
    Output,
    /// The configuration: input in which the host refuses unknown keys.
    Config,
}

/// The places of something that is in both manifests, each in its own text.
#[derive(Clone)]
struct Spans {
    old: Span,
    new: Span,
}

/// Something that has a type in both manifests.
#[derive(Clone)]
struct Subject {
    /// The words for it in messages, such as "the request of `orders.place`".
    words: String,
    direction: Direction,
    /// Where messages about it point.
    spans: Spans,
}

/// A comparison in progress. Its methods are in the files of this folder, one for each part of a manifest.
struct Comparison<'m> {
    old: (&'m Source, &'m Manifest),
    new: (&'m Source, &'m Manifest),
    /// All changes so far, in the order in which they were found.
    changes: Vec<Diagnostic>,
    /// The pairs of named types, old and new, that were compared already or are being compared, each with its direction. A type can
    /// hold itself, and be used many times.
    compared: BTreeSet<(&'m str, &'m str, Direction)>,
}

/// Two lists, matched by the names of their items. An item is in one of the three lists.
struct Pairs<'m, T> {
    removed: Vec<&'m T>,
    added: Vec<&'m T>,
    /// The items that are in both lists, each as old and new. They need not be equal.
    kept: Vec<(&'m T, &'m T)>,
}

/// Matches two lists, in each of which a name occurs once. All results are in the order of the list that they are from; `kept` in that
/// of `old`.
fn pair_up<'m, T>(old: &'m [T], new: &'m [T], name: impl Fn(&T) -> &str) -> Pairs<'m, T> {
    let find = |list: &'m [T], wanted: &str| list.iter().find(|item| name(item) == wanted);
    Pairs {
        removed: old.iter().filter(|item| find(new, name(item)).is_none()).collect(),
        added: new.iter().filter(|item| find(old, name(item)).is_none()).collect(),
        kept: old.iter().filter_map(|item| Some((item, find(new, name(item))?))).collect(),
    }
}

impl Comparison<'_> {
    /// Reports a change of something that is in both manifests.
    fn changed(&mut self, rule: ChangeRule, message: String, spans: &Spans) {
        self.report(rule, message, (spans.old.clone(), "it was this"), (spans.new.clone(), ""));
    }

    /// Reports something that is only in the old manifest; `from` is the place in the new manifest of what it was removed from.
    fn removed_from(&mut self, rule: ChangeRule, message: String, old: Span, from: Span) {
        self.report(rule, message, (old, "it was here"), (from, ""));
    }

    /// Reports something that is only in the old manifest, and was a part of the module as a whole.
    fn removed(&mut self, rule: ChangeRule, message: String, old: Span) {
        let module = self.new.1.module.name.span();
        self.report(rule, message, (old, "it was here"), (module, "not in this module any more"));
    }

    /// Reports something that is only in the new manifest; `of` is the place in the old manifest of what it was added to.
    fn added_to(&mut self, rule: ChangeRule, message: String, of: Span, new: Span) {
        self.report(rule, message, (of, "it was this"), (new, "new here"));
    }

    /// Reports something that is only in the new manifest, without a place in the old one.
    fn added(&mut self, rule: ChangeRule, message: String, new: Span) {
        self.changes.push(Diagnostic::change(rule, message).at(new, "new here"));
    }

    /// Reports a change at `new`, with the place `old` in the old manifest; each place with its label.
    fn report(&mut self, rule: ChangeRule, message: String, old: (Span, &str), new: (Span, &str)) {
        let change = Diagnostic::change(rule, message).at(new.0, new.1);
        self.changes.push(change.related_in(self.old.0, old.0, old.1));
    }

    /// Compares the names of the modules. Their versions are compared by [`version`](Self::version).
    fn module(&mut self) {
        let (old, new) = (&self.old.1.module.name, &self.new.1.module.name);
        if old.as_str() != new.as_str() {
            let message = format!("the module `{old}` is called `{new}` now");
            self.changed(ChangeRule::ModuleRenamed, message, &Spans { old: old.span(), new: new.span() });
        }
    }

    /// Reports topics that only the new manifest requires; services first.
    fn requires(&mut self) {
        let (old, new) = (&self.old.1.requires, &self.new.1.requires);
        for (old, new, what) in [(&old.services, &new.services, "service"), (&old.events, &new.events, "event")] {
            for topic in pair_up(old, new, Name::as_str).added {
                self.added(
                    ChangeRule::RequirementAdded,
                    format!("the module needs the {what} `{topic}` now"),
                    topic.span(),
                );
            }
        }
    }

    /// Reports if some change is breaking, and cargo would take the new version for a compatible, the same or an earlier one.
    /// Called last, since it looks at all other changes. Pre-releases and builds (`-rc.1`, `+7`) do not count. A version that can't
    /// be read, which a parsed manifest does not have, is not reported.
    fn version(&mut self) {
        let (old, new) = (&self.old.1.module.version, &self.new.1.module.version);
        let breaks = self.changes.iter().any(|change| change.severity() == Severity::Breaking);
        let parsed = |version: &Name| Version::parse(version.as_str());
        if let (true, Ok(from), Ok(to)) = (breaks, parsed(old), parsed(new)) {
            // As cargo has it: two versions are compatible if their first number that is not zero is the same.
            let epoch = |version: &Version| match (version.major, version.minor) {
                (0, 0) => (0, 0, version.patch),
                (0, minor) => (0, minor, 0),
                (major, _) => (major, 0, 0),
            };
            if epoch(&to) <= epoch(&from) {
                let message = "some of these changes break others, and the version does not say so".to_owned();
                let expected = (new.span(), "expected a new major version");
                self.report(ChangeRule::VersionTooLow, message, (old.span(), "it was this"), expected);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> (Source, Manifest) {
        let text = format!("schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\n{config}");
        let source = Source::new("m.toml", text);
        let manifest = Manifest::parse(&source).unwrap_or_else(|report| panic!("{report}"));
        (source, manifest)
    }

    #[test]
    fn a_manifest_compared_with_itself_has_no_changes() {
        let (source, manifest) = parse("");
        assert!(compare((&source, &manifest), (&source, &manifest)).is_empty());
    }

    #[test]
    fn the_defaults_of_secrets_are_not_shown() {
        let within = |password: &str| {
            let secret = format!("password = {{ type = \"string\", secret = true, default = \"{password}\" }}");
            parse(&format!(
                "db = {{ type = \"table\", fields = {{ {secret} }}, default = {{ password = \"{password}\" }} }}"
            ))
        };
        let ((old_source, old), (new_source, new)) = (within("hunter1"), within("hunter2"));
        let report = compare((&old_source, &old), (&new_source, &new));
        let messages: Vec<_> = report.diagnostics().iter().map(Diagnostic::message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(!messages.concat().contains("hunter"), "{messages:?}");
    }
}
