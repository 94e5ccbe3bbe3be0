//! Decides which traits the generated types can derive, and which fields need a `Box` because their type contains the
//! record that they are in.

use std::collections::{BTreeMap, BTreeSet};

use ixt_manifest::{Field, Manifest, MessageType, Shape, Type, TypeKind};

use crate::derives::Derivable;
use crate::generated_types::FieldOwner;
use crate::type_graph::Graph;
use crate::{names, scalar_types};

/// The type whose fields are generated: the context for the code of a field.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// The Rust name of the type; of a case with fields, that of the union with the case's. The names of types that are
    /// written in place in its fields begin with it.
    pub(crate) ident: &'a str,
    /// What the fields belong to, for [`TypeTraits::is_boxed`].
    pub(crate) kind: FieldOwner<'a>,
    /// The traits of the types of the same manifest.
    pub(crate) traits: &'a TypeTraits<'a>,
}

impl<'a> Owner<'a> {
    /// The context for a type named `ident` that is written in place within this one.
    pub(crate) fn within(self, ident: &'a str) -> Self {
        Self { ident, ..self }
    }

    /// Whether a field of this type is in a `Box`; see [`TypeTraits::is_boxed`].
    pub(crate) fn boxes(self, field: &Field) -> bool {
        self.traits.is_boxed(self.kind, &field.ty)
    }
}

/// The derives and boxes of the types of one manifest. A type *holds* another if a value of it may contain a value of
/// the other one without a list or map in between.
pub(crate) struct TypeTraits<'m> {
    manifest: &'m Manifest,
    /// Whether the manifest is that of another module. Then all its enums and unions are open.
    imported: bool,
    /// For each type of `[types]` a number. Types that hold each other, directly or through others, have the same
    /// number.
    circles: BTreeMap<&'m str, usize>,
    /// The types that hold themselves, directly or through others.
    in_circles: BTreeSet<&'m str>,
    /// The types of `[types]` that are neither `Eq` nor `Hash`.
    not_eq: BTreeSet<&'m str>,
    /// The types of `[types]` that are not `Copy`.
    not_copy: BTreeSet<&'m str>,
}

impl<'m> TypeTraits<'m> {
    /// `imported`: the manifest is one of `[requires.from]`. `replaced` are the Rust names of the types that the author
    /// has replaced by other types. They count as neither `Eq` nor `Copy`, since nothing is known about the author's
    /// types.
    pub(crate) fn of(manifest: &'m Manifest, imported: bool, replaced: &BTreeSet<String>) -> Self {
        let held = graph(manifest, false);
        let circles = held.circles();
        let mut sizes = BTreeMap::<usize, usize>::new();
        for circle in circles.values() {
            *sizes.entry(*circle).or_default() += 1;
        }
        let names = circles.iter().filter(|(name, circle)| sizes[circle] > 1 || held.holds(name, name));
        let in_circles = names.map(|(name, _)| *name).collect();
        let empty = BTreeSet::new;
        let mut traits = Self { manifest, imported, circles, in_circles, not_eq: empty(), not_copy: empty() };
        // First each type for itself, as if all named types in it could derive everything. Then all that contain one that can't.
        let (mut not_eq, mut not_copy) = (empty(), empty());
        for definition in &manifest.types {
            let name = definition.name.as_str();
            let is_replaced = replaced.contains(&names::camel(name).to_string());
            let derivable = if is_replaced { Derivable::NONE } else { traits.of_shape(&definition.shape) };
            if !derivable.eq {
                not_eq.insert(name);
            }
            // A type that holds itself has a `Box` in it.
            if !derivable.copy || traits.is_in_circle(name, name) {
                not_copy.insert(name);
            }
        }
        // A list of types that are not `Eq` is not `Eq`, and no list is `Copy` anyway.
        traits.not_eq = graph(manifest, true).with_holders(not_eq);
        traits.not_copy = held.with_holders(not_copy);
        traits
    }

    /// What a type of `[types]` with this shape can derive. It takes named types from `not_eq` and `not_copy`; while
    /// these are empty, as if they could derive everything.
    fn of_shape(&self, shape: &Shape) -> Derivable {
        // An open one keeps what it does not know, which is on the heap.
        let with_openness = |open: bool| Derivable { eq: true, copy: !open && !self.imported };
        match shape {
            Shape::Record(fields) => self.of_fields(fields),
            Shape::Newtype(ty) => self.of_type(ty),
            Shape::Enum { open, .. } => with_openness(*open),
            Shape::Union { cases, open } => cases.iter().fold(with_openness(*open), |all, case| {
                all.and(match &case.content {
                    MessageType::Named(name) => self.of_name(name.as_str()),
                    MessageType::Inline { fields, .. } => self.of_fields(fields),
                })
            }),
        }
    }

    /// What a struct with these fields can derive, apart from secrets: if a field is secret, the caller derives only
    /// `Clone` and `Debug`. `Derivable::ALL` without fields.
    pub(crate) fn of_fields(&self, fields: &[Field]) -> Derivable {
        fields.iter().fold(Derivable::ALL, |all, field| all.and(self.of_type(&field.ty)))
    }

    /// What the Rust type for a type can derive. Whether it is optional or secret does not count.
    pub(crate) fn of_type(&self, ty: &Type) -> Derivable {
        match &ty.kind {
            TypeKind::Scalar(scalar) => scalar_types::derivable(*scalar),
            TypeKind::List(inner) | TypeKind::Map(inner) => Derivable { copy: false, ..self.of_type(inner) },
            TypeKind::Enum(_) => Derivable { eq: true, copy: !self.imported },
            TypeKind::Table(fields) => self.of_fields(fields),
            TypeKind::Named(name) => self.of_name(name),
        }
    }

    /// What the type of `[types]` with this name can derive. A name that is not declared gives `Derivable::ALL`.
    pub(crate) fn of_name(&self, name: &str) -> Derivable {
        Derivable { eq: !self.not_eq.contains(name), copy: !self.not_copy.contains(name) }
    }

    /// The manifest whose types these are.
    pub(crate) fn manifest(&self) -> &'m Manifest {
        self.manifest
    }

    /// Whether a field of type `ty` in a record of `owner` is in a `Box`: it is if `ty` is a type of `[types]`,
    /// optional or not, that holds `owner`, since the struct would have no finite size otherwise. Never for the
    /// configuration and messages, which no type can hold, and for a list or map.
    fn is_boxed(&self, owner: FieldOwner<'_>, ty: &Type) -> bool {
        match (owner, &ty.kind) {
            (FieldOwner::Type(owner), TypeKind::Named(name)) => self.is_in_circle(owner, name),
            _ => false,
        }
    }

    /// Whether `inner`, which `outer` holds or is, holds `outer`, directly or through others. `false` if one of them is
    /// not declared.
    fn is_in_circle(&self, outer: &str, inner: &str) -> bool {
        if outer == inner {
            return self.in_circles.contains(outer);
        }
        match (self.circles.get(outer), self.circles.get(inner)) {
            (Some(outer), Some(inner)) => outer == inner,
            _ => false,
        }
    }
}

/// Which types of `[types]` hold which directly; an optional type is held, too. With `through_lists`, a list or a map
/// may be in between. A type may be listed as held several times.
fn graph(manifest: &Manifest, through_lists: bool) -> Graph<'_> {
    Graph::new(manifest.types.iter().map(|definition| {
        let mut held = Vec::new();
        match &definition.shape {
            Shape::Record(fields) => held_by(fields, through_lists, &mut held),
            Shape::Newtype(ty) => held_by_type(ty, through_lists, &mut held),
            Shape::Union { cases, .. } => {
                for case in cases {
                    match &case.content {
                        MessageType::Named(name) => held.push(name.as_str()),
                        MessageType::Inline { fields, .. } => held_by(fields, through_lists, &mut held),
                    }
                }
            }
            Shape::Enum { .. } => {}
        }
        (definition.name.as_str(), held)
    }))
}

/// Adds the types of `[types]` that these fields hold to `held`.
fn held_by<'m>(fields: &'m [Field], through_lists: bool, held: &mut Vec<&'m str>) {
    for field in fields {
        held_by_type(&field.ty, through_lists, held);
    }
}

/// Adds the types of `[types]` that a value of type `ty` holds to `held`.
fn held_by_type<'m>(ty: &'m Type, through_lists: bool, held: &mut Vec<&'m str>) {
    match &ty.kind {
        TypeKind::Named(name) => held.push(name),
        TypeKind::Table(fields) => held_by(fields, through_lists, held),
        TypeKind::List(inner) | TypeKind::Map(inner) if through_lists => held_by_type(inner, through_lists, held),
        TypeKind::List(_) | TypeKind::Map(_) | TypeKind::Scalar(_) | TypeKind::Enum(_) => {}
    }
}
