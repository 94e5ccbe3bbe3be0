//! Types of which no value can exist, since each value would have to contain another value of the same type. Only types of
//! `[types]` can contain themselves. A default changes nothing: the field always has a value. The length of a list or map does not
//! count: one with a `min_length` counts as if it could be empty.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Field, MessageType, Shape, Type, TypeDefinition, TypeKind};

/// Reports records and newtypes whose values would have to contain another value of the same type: they hold themselves, directly
/// or through other types, with no list, map or optional in between. A group of types that hold each other is reported at least
/// once, not once for each type. A type that only holds such a type is not reported. Circles through unions are left to
/// [`check_unions`].
pub(super) fn check_circles(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    // For each type, the named types of which each of its values contains one.
    let held: BTreeMap<&str, Vec<&Type>> = types
        .values()
        .map(|definition| {
            let held = match &definition.shape {
                Shape::Record(fields) => held_by(fields),
                Shape::Newtype(ty) => held_by_type(ty),
                Shape::Enum { .. } | Shape::Union { .. } => Vec::new(),
            };
            (definition.name.as_str(), held)
        })
        .collect();
    // Depth first, each type once; an edge to a type that is still open closes a circle.
    let mut done = BTreeSet::new();
    for start in types.keys() {
        let mut path: Vec<(&str, std::slice::Iter<'_, &Type>)> = Vec::new();
        if done.insert(start.as_str()) {
            path.push((start, held[start.as_str()].iter()));
        }
        while let Some((_, rest)) = path.last_mut() {
            let Some(ty) = rest.next() else {
                path.pop();
                continue;
            };
            let TypeKind::Named(name) = &ty.kind else { continue };
            if let Some(circle) = path.iter().position(|(open, _)| open == name) {
                let through =
                    path[circle..].iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
                let mut error = Diagnostic::new(
                    Code::InfiniteType,
                    format!("the type `{name}` holds itself, so no value of it can exist"),
                )
                .at(ty.span.clone(), format!("holds `{name}` again"))
                .related(types[name].name.span(), "declared here")
                .help("make one of the fields optional (`?`), a list or a map");
                if circle + 1 < path.len() {
                    error = error.note(format!("{through} -> `{name}`"));
                }
                errors.push(error);
            } else if let Some((name, held)) = held.get_key_value(name.as_str())
                && done.insert(name)
            {
                path.push((name, held.iter()));
            }
        }
    }
}

/// Reports each closed union of which no value can exist: each of its cases has to contain a value of the union again, or of
/// another type without values. One case that does not is enough; an open union always has values, those of unknown cases.
pub(super) fn check_unions(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    if !types.values().any(|definition| matches!(definition.shape, Shape::Union { .. })) {
        return;
    }
    let mut finite = BTreeSet::new();
    let mut definitions: Vec<_> = types.values().collect();
    loop {
        let before = finite.len();
        // In alternating directions, since the names of a long chain of types are mostly in order or in reverse order: then few
        // rounds are enough.
        definitions.reverse();
        for definition in &definitions {
            let fits = |held: &[&Type]| {
                held.iter().all(|ty| match &ty.kind {
                    // A type that is not in `types` has a mistake that was reported.
                    TypeKind::Named(name) => finite.contains(name.as_str()) || !types.contains_key(name),
                    _ => true,
                })
            };
            let can_exist = match &definition.shape {
                Shape::Union { cases, open } => {
                    *open
                        || cases.is_empty()
                        || cases.iter().any(|case| match &case.content {
                            MessageType::Named(name) => {
                                finite.contains(name.as_str()) || !types.contains_key(name.as_str())
                            }
                            MessageType::Inline { fields, .. } => fits(&held_by(fields)),
                        })
                }
                Shape::Record(fields) => fits(&held_by(fields)),
                Shape::Newtype(ty) => fits(&held_by_type(ty)),
                Shape::Enum { .. } => true,
            };
            if can_exist {
                finite.insert(definition.name.as_str());
            }
        }
        if finite.len() == before {
            break;
        }
    }
    for definition in types.values() {
        if matches!(definition.shape, Shape::Union { .. }) && !finite.contains(definition.name.as_str()) {
            let message =
                format!("every case of the type `{}` holds it again, so no value of it can exist", definition.name);
            errors.push(
                Diagnostic::new(Code::InfiniteType, message)
                    .at(definition.name.span(), "")
                    .help("make a field in one of the cases optional (`?`), a list or a map"),
            );
        }
    }
}

/// The named types of which every object with these fields holds a value, in the order of the fields. A type is here once for each
/// field that holds it.
fn held_by(fields: &[Field]) -> Vec<&Type> {
    fields.iter().flat_map(|field| held_by_type(&field.ty)).collect()
}

/// The named types of which every value of this type holds one, or is one. The fields of a table are searched; named types are not
/// looked up. Empty for an optional type, a list, a map, a scalar and an enum.
fn held_by_type(ty: &Type) -> Vec<&Type> {
    match &ty.kind {
        _ if ty.optional => Vec::new(),
        TypeKind::Named(_) => vec![ty],
        TypeKind::Table(fields) => held_by(fields),
        TypeKind::Scalar(_) | TypeKind::List(_) | TypeKind::Map(_) | TypeKind::Enum(_) => Vec::new(),
    }
}
