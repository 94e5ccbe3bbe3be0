//! Checks of what depends on several parts of a manifest. `read` calls them: `check_object` while it reads a service or an event,
//! `types` when it has read all sections but the defaults, and `warnings` at the end, for a manifest without errors. What depends
//! on other manifests is in `import`, and what depends on Rust names in `ixt-build`.
//!
//! - `finite`: types of which no value can exist
//! - `usage`: types that nothing uses, and deprecated ones that are used
//! - this file: messages that have to be objects, cases of unions, and deprecated config keys that are required

mod finite;
mod usage;

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Case, Manifest, MessageType, Name, Shape, TypeDefinition};
use crate::source::Span;

/// Reports types of `[types]` of which no value can exist, and cases of unions that are not records or have a field `type`. `types`
/// are the types of the manifest, without those with a mistake after which their shape is not known; the defaults of their fields
/// are not read yet. A mistake is added to `errors`, which may have others.
pub(crate) fn types(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    finite::check_circles(types, errors);
    finite::check_unions(types, errors);
    for definition in types.values() {
        if let Shape::Union { cases, .. } = &definition.shape {
            for case in cases {
                check_case(case, &definition.name, types, errors);
            }
        }
    }
}

/// Reports a case that is not a record, or has a field `type`. One whose type is not in `types` is not reported.
fn check_case(case: &Case, union: &Name, types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    let fields = match &case.content {
        MessageType::Inline { fields, .. } => fields,
        MessageType::Named(name) => match types.get(name.as_str()).map(|definition| &definition.shape) {
            Some(Shape::Record(fields)) => fields,
            Some(Shape::Enum { .. } | Shape::Union { .. } | Shape::Newtype(_)) => {
                let message = format!("the case `{}` of the type `{union}` must be a record", case.name);
                errors.push(
                    Diagnostic::new(Code::NotAnObject, message)
                        .at(name.span(), "expected a record of [types], or a table of fields"),
                );
                return;
            }
            // The definition has another mistake, which was reported.
            None => return,
        },
    };
    if let Some(field) = fields.iter().find(|field| field.name.as_str() == "type") {
        let message = format!("the case `{}` of the type `{union}` has a field `type`", case.name);
        errors.push(
            Diagnostic::new(Code::ReservedName, message)
                .at(field.name.span(), "in JSON, `type` says which case it is")
                .related(case.name.span(), "the case")
                .help("rename the field"),
        );
    }
}

/// Reports a message whose type is neither a record nor a union: an enum or a newtype, also one of a record. The report calls the
/// message `subject`. `None`, fields written in place, and a type that is not in `types` are not reported.
pub(crate) fn check_object(
    message: Option<&MessageType>,
    subject: &str,
    types: &BTreeMap<String, TypeDefinition>,
    errors: &mut Vec<Diagnostic>,
) {
    if let Some(MessageType::Named(name)) = message
        && let Some(definition) = types.get(name.as_str())
        && matches!(definition.shape, Shape::Enum { .. } | Shape::Newtype(_))
    {
        errors.push(not_an_object(subject, name.span()).related(definition.name.span(), "this is no object"));
    }
}

/// The diagnostic for a message or case, called `subject`, whose type at `span` is not an object. It is not in a report yet.
pub(crate) fn not_an_object(subject: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::NotAnObject, format!("{subject} must be an object"))
        .at(span, "expected a record or a union of [types], or a table of fields")
}

/// Adds the warnings about a valid manifest: types that nothing uses, uses of deprecated types, and deprecated config keys that are
/// required. `read` has the warning about `runtime_targets`, and `import` those about required topics.
pub(crate) fn warnings(manifest: &Manifest, warnings: &mut Vec<Diagnostic>) {
    usage::check(manifest, warnings);
    check_deprecated_config(manifest, warnings);
}

/// Warns of config keys that are deprecated and required at once. Fields within a key are not looked at.
fn check_deprecated_config(manifest: &Manifest, warnings: &mut Vec<Diagnostic>) {
    for key in manifest.config.iter().filter(|key| key.deprecated.is_some() && key.is_required()) {
        let message = format!("the config key `{}` is deprecated, and required", key.name);
        warnings.push(
            Diagnostic::new(Code::RequiredDeprecated, message)
                .at(key.name.span(), "every host still has to give a value")
                .help("give it a default, or make it optional"),
        );
    }
}
