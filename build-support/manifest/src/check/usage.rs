//! Types that nothing uses, and deprecated types that are used.

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Field, Manifest, MessageType, Shape, Type, TypeKind};
use crate::source::Span;

/// Warns of types that no config key, provided service or provided event needs, directly or through other types; and of each use of
/// a deprecated type by something that is not deprecated, nor within something deprecated. Uses within a type that nothing needs
/// are not looked at.
pub(super) fn check(manifest: &Manifest, warnings: &mut Vec<Diagnostic>) {
    let mut used = BTreeSet::new();
    let mut pending = Vec::new();
    let mut references = Vec::new();
    field_uses(&manifest.config, false, &mut references);
    for service in &manifest.services {
        for message in service.request.iter().chain(&service.response) {
            message_uses(message, service.deprecated.is_some(), &mut references);
        }
    }
    for event in &manifest.events {
        if let Some(payload) = &event.payload {
            message_uses(payload, event.deprecated.is_some(), &mut references);
        }
    }
    loop {
        for TypeUse { name, span, by_deprecated } in references.drain(..) {
            let Some(definition) = manifest.find_type(name) else { continue };
            if definition.deprecated.is_some() && !by_deprecated {
                let message = format!("the type `{name}` is deprecated");
                let warning = Diagnostic::new(Code::DeprecatedUse, message)
                    .at(span, "used here")
                    .related(definition.name.span(), "declared here");
                warnings.push(
                    match definition.deprecated.as_ref().and_then(|deprecated| deprecated.instead.as_ref()) {
                        Some(instead) => warning.note(instead),
                        None => warning,
                    },
                );
            }
            if used.insert(name) {
                pending.push(definition);
            }
        }
        let Some(definition) = pending.pop() else { break };
        let deprecated = definition.deprecated.is_some();
        match &definition.shape {
            Shape::Record(fields) => field_uses(fields, deprecated, &mut references),
            Shape::Newtype(ty) => type_uses(ty, deprecated, &mut references),
            Shape::Union { cases, .. } => {
                for case in cases {
                    message_uses(&case.content, deprecated || case.deprecated.is_some(), &mut references);
                }
            }
            Shape::Enum { .. } => {}
        }
    }
    for definition in manifest.types.iter().filter(|definition| !used.contains(definition.name.as_str())) {
        let message = format!("the type `{}` is never used", definition.name);
        warnings.push(
            Diagnostic::new(Code::UnusedType, message)
                .at(definition.name.span(), "no config key, service or event needs it")
                .help("remove it, or use it"),
        );
    }
}

/// One use of a type of `[types]`.
struct TypeUse<'m> {
    name: &'m str,
    span: Span,
    /// Whether what uses it is deprecated, or within something deprecated: a service, event, field, type or case.
    by_deprecated: bool,
}

/// Adds the types that a message or a case names. `by_deprecated`: what it belongs to is deprecated.
fn message_uses<'m>(message: &'m MessageType, by_deprecated: bool, uses: &mut Vec<TypeUse<'m>>) {
    match message {
        MessageType::Named(name) => uses.push(TypeUse { name: name.as_str(), span: name.span(), by_deprecated }),
        MessageType::Inline { fields, .. } => field_uses(fields, by_deprecated, uses),
    }
}

/// Adds the types that fields name; those of a deprecated field as used by something deprecated.
fn field_uses<'m>(fields: &'m [Field], by_deprecated: bool, uses: &mut Vec<TypeUse<'m>>) {
    for field in fields {
        type_uses(&field.ty, by_deprecated || field.deprecated.is_some(), uses);
    }
}

/// Adds the types that a type names: itself, or those in its items, values or fields. The definitions of named types are not
/// searched.
fn type_uses<'m>(ty: &'m Type, by_deprecated: bool, uses: &mut Vec<TypeUse<'m>>) {
    match &ty.kind {
        TypeKind::List(inner) | TypeKind::Map(inner) => type_uses(inner, by_deprecated, uses),
        TypeKind::Table(fields) => field_uses(fields, by_deprecated, uses),
        TypeKind::Named(name) => uses.push(TypeUse { name, span: ty.span.clone(), by_deprecated }),
        TypeKind::Scalar(_) | TypeKind::Enum(_) => {}
    }
}
