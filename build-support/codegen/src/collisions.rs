//! Reports names of a manifest that collide in the generated code: two that become the same Rust name, and one that
//! becomes a name that is generated anyway. Both are errors. A suffix would avoid the collision, but it would change
//! when another name is added.

use std::collections::HashMap;

use ixt_manifest::{Code, Diagnostic, EnumValue, Field, Import, Manifest, MessageType, Name};
use proc_macro2::Ident;

use crate::generated_types::{GeneratedType, GeneratedTypes};
use crate::names::{UNKNOWN, camel, event_method, field, import_name, method};

/// Types that are generated for every module.
const TYPES: &[&str] = &["Config", "Handler", "Topic"];
/// Associated constants of `Topic`, which share a namespace with its variants.
const TOPIC_CONSTANTS: &[&str] = &["ALL"];
/// Methods that every `Handler` has.
const METHODS: &[&str] = &["health_check", "init", "shutdown"];

/// Checks the names in the code for the module's own manifest, whose types are `items`; those of imported manifests are
/// for [`check_imported`]. Of several names that become the same Rust name, each but the first is reported, with the
/// first as its related place. Empty if no names collide. All diagnostics are errors.
pub(crate) fn check(manifest: &Manifest, items: &GeneratedTypes<'_>) -> Vec<Diagnostic> {
    let mut collisions = Vec::new();

    check_fields("a field of `Config`", &manifest.config, &mut collisions);

    let mut methods = Namespace::new("a method of `Handler`", METHODS);
    let mut variants = Namespace::new("a variant of `Topic`", TOPIC_CONSTANTS);
    for service in &manifest.services {
        // Topics that collide mostly collide in both, so a topic is reported once.
        if methods.add(method(&service.topic), &service.topic, &mut collisions) {
            variants.add(camel(service.topic.as_str()), &service.topic, &mut collisions);
        }
    }
    for topic in &manifest.requires.events {
        methods.add(event_method(topic), topic, &mut collisions);
    }
    let mut clients = Namespace::new("a function of `client`", &[]);
    for topic in &manifest.requires.services {
        clients.add(method(topic), topic, &mut collisions);
    }
    let mut publishers = Namespace::new("a function of `publish`", &[]);
    for event in &manifest.events {
        publishers.add(method(&event.topic), &event.topic, &mut collisions);
    }

    check_types(items, TYPES, &mut collisions);
    collisions
}

/// Checks the names of those types of an imported manifest that are generated. They are in a Rust module of that
/// manifest, in which nothing else is generated. The diagnostics point into the imported manifest. Empty if no names
/// collide.
pub(crate) fn check_imported(items: &GeneratedTypes<'_>) -> Vec<Diagnostic> {
    let mut collisions = Vec::new();
    check_types(items, &[], &mut collisions);
    collisions
}

/// Checks the names of the Rust modules of the imported manifests. Each diagnostic is in the manifest of that index, at the name of
/// its module. Empty if each has a name of its own.
pub(crate) fn check_imports(imports: &[&Import]) -> Vec<(usize, Diagnostic)> {
    let mut taken = HashMap::<String, &Import>::new();
    let mut collisions = Vec::new();
    for (index, import) in imports.iter().enumerate() {
        let (module, name) = (&import.manifest.module.name, import_name(import));
        if name.is_empty() {
            let message = format!("the module name `{module}` has no letter or digit to make a Rust name of");
            let diagnostic = Diagnostic::new(Code::InvalidName, message);
            collisions.push((index, diagnostic.at(module.span(), "its types need a Rust module where it is imported")));
        } else if let Some(other) = taken.get(&name) {
            let other_name = &other.manifest.module.name;
            let message = format!("`{other_name}` and `{module}` both become `{name}`, as a module of `client`");
            let diagnostic = Diagnostic::new(Code::NameCollision, message)
                .at(module.span(), format!("becomes `{name}` in Rust"))
                .related_in(&other.source, other_name.span(), format!("becomes `{name}` too"))
                .help("rename one of the two modules");
            collisions.push((index, diagnostic));
        } else {
            taken.insert(name, import);
        }
    }
    collisions
}

/// Checks the names of these types, and of their fields, variants and values. `generated` are the types that are
/// generated beside them anyway.
fn check_types(items: &GeneratedTypes<'_>, generated: &'static [&'static str], collisions: &mut Vec<Diagnostic>) {
    let mut types = Namespace::new("a type", generated);
    for (ident, item, name) in items.iter() {
        types.add(ident.clone(), name, collisions);
        match item {
            GeneratedType::Record { fields, .. } => check_fields("a field of one struct", fields, collisions),
            GeneratedType::Enum { values, open, .. } => check_values(values, *open, collisions),
            GeneratedType::Union { cases, open, .. } => {
                let mut scope = Namespace::new("a variant of one enum", if *open { &[UNKNOWN] } else { &[] });
                for case in *cases {
                    scope.add(camel(case.name.as_str()), &case.name, collisions);
                    if let MessageType::Inline { fields, .. } = &case.content {
                        check_fields("a field of one variant", fields, collisions);
                    }
                }
            }
            GeneratedType::Errors { service } => {
                let mut scope = Namespace::new("a variant of one enum", &["ALL"]);
                for error in &service.errors {
                    scope.add(camel(error.code.as_str()), &error.code, collisions);
                }
            }
            GeneratedType::Newtype { .. } => {}
        }
    }
}

/// Checks the names of the fields of one struct or variant. `kind` is as in [`Namespace`].
fn check_fields(kind: &'static str, fields: &[Field], collisions: &mut Vec<Diagnostic>) {
    let mut scope = Namespace::new(kind, &[]);
    for declared in fields {
        scope.add(field(&declared.name), &declared.name, collisions);
    }
}

/// Checks the values of one enum. `open`: it has the variant `Unknown`, too.
fn check_values(values: &[EnumValue], open: bool, collisions: &mut Vec<Diagnostic>) {
    let mut scope = Namespace::new("a variant of one enum", if open { &[UNKNOWN, "ALL"] } else { &["ALL"] });
    for value in values {
        scope.add(camel(value.name.as_str()), &value.name, collisions);
    }
}

/// A set of names that have to differ, such as those of the fields of one struct.
struct Namespace<'a> {
    /// What has these names, for messages: "a field of one struct".
    kind: &'static str,
    /// The names in the set that are generated whatever the manifest says.
    generated: &'static [&'static str],
    /// The names so far, each with the first name in the manifest that became it.
    taken: HashMap<Ident, &'a Name>,
}

impl<'a> Namespace<'a> {
    /// A set without names of the manifest.
    fn new(kind: &'static str, generated: &'static [&'static str]) -> Self {
        Self { kind, generated, taken: HashMap::new() }
    }

    /// Adds the Rust name of something that the manifest calls `name`. If another name has it already, or it is
    /// generated anyway, adds a diagnostic to `collisions` instead, and returns `false`.
    fn add(&mut self, ident: Ident, name: &'a Name, collisions: &mut Vec<Diagnostic>) -> bool {
        if let Some(generated) = self.generated.iter().find(|generated| ident == **generated) {
            collisions.push(
                Diagnostic::new(
                    Code::ReservedName,
                    format!("`{name}` becomes `{generated}`, which is generated anyway"),
                )
                .at(name.span(), format!("can't be the name of {}", self.kind))
                .help("choose another name"),
            );
            return false;
        }
        if let Some(other) = self.taken.get(&ident) {
            collisions.push(
                Diagnostic::new(
                    Code::NameCollision,
                    format!("`{other}` and `{name}` both become `{ident}`, as {}", self.kind),
                )
                .at(name.span(), format!("becomes `{ident}` in Rust"))
                .related(other.span(), format!("becomes `{ident}` too"))
                .help("rename one of them"),
            );
            return false;
        }
        self.taken.insert(ident, name);
        true
    }
}
