//! Which types are generated for a manifest, and under which names: those of `[types]`, and those that are written in
//! place.

use std::collections::{BTreeMap, BTreeSet};

use ixt_manifest::{
    Case, Deprecated, EnumValue, Event, Field, Kind, Manifest, Message, Name, Service, Shape, Type, TypeDefinition,
};
use proc_macro2::{Ident, Span};

use crate::names::{self, Role};
use crate::scalar_types;
use crate::type_graph::Graph;

/// A type that is generated.
pub(crate) enum Item<'m> {
    /// A struct.
    Record { about: About<'m>, fields: &'m [Field], owner: Owner<'m> },
    /// An enum of texts.
    Enum { about: About<'m>, values: &'m [EnumValue], open: bool },
    /// A tagged union.
    Union { about: About<'m>, cases: &'m [Case], open: bool, owner: Owner<'m> },
    /// A type around another.
    Newtype { about: About<'m>, ty: &'m Type, name: &'m Name },
    /// The errors of a service.
    Errors { service: &'m Service },
}

/// Where fields stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'m> {
    /// In the configuration, which is read and never written.
    Config,
    /// In a message.
    Message,
    /// In a type of `[types]`, perhaps in a part of it that is written in place.
    Type(&'m str),
}

/// What the manifest says about a type.
pub(crate) struct About<'m> {
    pub(crate) description: Option<&'m String>,
    pub(crate) deprecated: Option<&'m Deprecated>,
    /// What can be said without a description.
    pub(crate) fallback: String,
}

/// The types of a manifest, in the order of their Rust names.
pub(crate) struct Items<'m> {
    items: Vec<(Ident, Item<'m>, &'m Name)>,
    /// Whether all enums and unions are open, as those of another module are: it may be newer.
    imported: bool,
}

impl<'m> Items<'m> {
    /// The types of the module's own manifest.
    pub(crate) fn of(manifest: &'m Manifest) -> Self {
        let mut items = Self { items: Vec::new(), imported: false };
        items.inline_fields("Config", &manifest.config, Owner::Config);
        for definition in &manifest.types {
            items.definition(definition);
        }
        for service in &manifest.services {
            items.service(service);
        }
        for event in &manifest.events {
            items.event(event);
        }
        items.sorted()
    }

    /// The types of another module's manifest that some of its services and events need.
    pub(crate) fn imported(manifest: &'m Manifest, services: &[&'m Service], events: &[&'m Event]) -> Self {
        let mut items = Self { items: Vec::new(), imported: true };
        let mut needed = Needed { manifest, names: BTreeSet::new() };
        for service in services {
            items.service(service);
            service.request.iter().chain(&service.response).for_each(|message| needed.message(message));
        }
        for event in events {
            items.event(event);
            event.payload.iter().for_each(|message| needed.message(message));
        }
        for name in needed.names {
            items.definition(manifest.find_type(name).expect("only names of types were collected"));
        }
        items.sorted()
    }

    fn sorted(mut self) -> Self {
        self.items.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Ident, Item<'m>, &'m Name)> {
        self.items.iter()
    }

    fn add(&mut self, ident: &str, item: Item<'m>, name: &'m Name) {
        self.items.push((Ident::new(ident, Span::call_site()), item, name));
    }

    fn definition(&mut self, definition: &'m TypeDefinition) {
        let name = &definition.name;
        let ident = names::camel(name.as_str()).to_string();
        let about = About {
            description: definition.description.as_ref(),
            deprecated: definition.deprecated.as_ref(),
            fallback: format!("The type `{name}` of the manifest."),
        };
        let owner = Owner::Type(name.as_str());
        let item = match &definition.shape {
            Shape::Record(fields) => {
                self.inline_fields(&ident, fields, owner);
                Item::Record { about, fields, owner }
            }
            Shape::Enum { values, open } => Item::Enum { about, values, open: *open || self.imported },
            Shape::Union { cases, open } => {
                for case in cases {
                    if let Message::Inline { fields, .. } = &case.content {
                        self.inline_fields(&names::inline(&ident, &case.name), fields, owner);
                    }
                }
                Item::Union { about, cases, open: *open || self.imported, owner }
            }
            Shape::Newtype(ty) => {
                self.inline_type(&ident, ty, name, owner);
                Item::Newtype { about, ty, name }
            }
        };
        self.add(&ident, item, name);
    }

    fn service(&mut self, service: &'m Service) {
        let topic = &service.topic;
        self.message(topic, Role::Request, service.request.as_ref(), "request to");
        self.message(topic, Role::Response, service.response.as_ref(), "response of");
        if !service.errors.is_empty() {
            self.add(&names::errors(topic).to_string(), Item::Errors { service }, topic);
        }
    }

    fn event(&mut self, event: &'m Event) {
        self.message(&event.topic, Role::Payload, event.payload.as_ref(), "payload of");
    }

    fn message(&mut self, topic: &'m Name, role: Role, message: Option<&'m Message>, what: &str) {
        if let Some(message @ Message::Inline { fields, description }) = message {
            let ident = names::message(topic, role, message).to_string();
            self.inline_fields(&ident, fields, Owner::Message);
            let fallback = format!("The {what} `{topic}`.");
            let about = About { description: description.as_ref(), deprecated: None, fallback };
            self.add(&ident, Item::Record { about, fields, owner: Owner::Message }, topic);
        }
    }

    /// The types that are written in place, in the fields of the type `ident`.
    fn inline_fields(&mut self, ident: &str, fields: &'m [Field], owner: Owner<'m>) {
        for field in fields {
            self.inline_type(&names::inline(ident, &field.name), &field.ty, &field.name, owner);
        }
    }

    fn inline_type(&mut self, ident: &str, ty: &'m Type, name: &'m Name, owner: Owner<'m>) {
        let about =
            |what: &str| About { description: None, deprecated: None, fallback: format!("The {what} of `{name}`.") };
        match &ty.kind {
            Kind::List(item) => self.inline_type(&format!("{ident}Item"), item, name, owner),
            Kind::Map(value) => self.inline_type(&format!("{ident}Value"), value, name, owner),
            Kind::Enum(values) => {
                self.add(ident, Item::Enum { about: about("values"), values, open: self.imported }, name);
            }
            Kind::Table(fields) => {
                self.inline_fields(ident, fields, owner);
                self.add(ident, Item::Record { about: about("fields"), fields, owner }, name);
            }
            _ => {}
        }
    }
}

/// Finds the types of `[types]` that messages need.
struct Needed<'m> {
    manifest: &'m Manifest,
    names: BTreeSet<&'m str>,
}

impl<'m> Needed<'m> {
    fn message(&mut self, message: &'m Message) {
        match message {
            Message::Named(name) => self.name(name.as_str()),
            Message::Inline { fields, .. } => self.fields(fields),
        }
    }

    fn name(&mut self, name: &'m str) {
        let Some(definition) = self.manifest.find_type(name) else { return };
        if !self.names.insert(name) {
            return;
        }
        match &definition.shape {
            Shape::Record(fields) => self.fields(fields),
            Shape::Newtype(ty) => self.ty(ty),
            Shape::Union { cases, .. } => cases.iter().for_each(|case| self.message(&case.content)),
            Shape::Enum { .. } => {}
        }
    }

    fn fields(&mut self, fields: &'m [Field]) {
        for field in fields {
            self.ty(&field.ty);
        }
    }

    fn ty(&mut self, ty: &'m Type) {
        match &ty.kind {
            Kind::List(inner) | Kind::Map(inner) => self.ty(inner),
            Kind::Table(fields) => self.fields(fields),
            Kind::Named(name) => self.name(name),
            _ => {}
        }
    }
}

/// What can be derived for the types of a manifest, and where a field needs a `Box`.
pub(crate) struct Traits<'m> {
    manifest: &'m Manifest,
    imported: bool,
    /// Which types hold which without a list or a map in between, and the circles that they form.
    held: Graph<'m>,
    circles: BTreeMap<&'m str, usize>,
    /// The types that hold themselves, directly or through others.
    in_circles: BTreeSet<&'m str>,
    /// The types that have no equivalence, and those that can't be copied.
    not_eq: BTreeSet<&'m str>,
    not_copy: BTreeSet<&'m str>,
}

impl<'m> Traits<'m> {
    /// `replaced` are the Rust names of the types that are the author's: nothing is known of what they can do.
    pub(crate) fn of(manifest: &'m Manifest, imported: bool, replaced: &BTreeSet<String>) -> Self {
        let holds = |through_lists: bool| {
            Graph::new(manifest.types.iter().map(|definition| {
                let mut held = Vec::new();
                match &definition.shape {
                    Shape::Record(fields) => held_by(fields, through_lists, &mut held),
                    Shape::Newtype(ty) => held_by_type(ty, through_lists, &mut held),
                    Shape::Union { cases, .. } => {
                        for case in cases {
                            match &case.content {
                                Message::Named(name) => held.push(name.as_str()),
                                Message::Inline { fields, .. } => held_by(fields, through_lists, &mut held),
                            }
                        }
                    }
                    Shape::Enum { .. } => {}
                }
                (definition.name.as_str(), held)
            }))
        };
        let held = holds(false);
        let circles = held.circles();
        let mut sizes = BTreeMap::<usize, usize>::new();
        for circle in circles.values() {
            *sizes.entry(*circle).or_default() += 1;
        }
        let names = circles.iter().filter(|(name, circle)| sizes[circle] > 1 || held.holds(name, name));
        let in_circles = names.map(|(name, _)| *name).collect();
        let empty = BTreeSet::new;
        let mut traits = Self { manifest, imported, held, circles, in_circles, not_eq: empty(), not_copy: empty() };
        let (mut not_eq, mut not_copy) = (empty(), empty());
        for definition in &manifest.types {
            let name = definition.name.as_str();
            // As if all others had everything: what they haven't is added below.
            let is_replaced = replaced.contains(&names::camel(name).to_string());
            let (eq, copy) = if is_replaced { (false, false) } else { traits.of_shape(&definition.shape) };
            if !eq {
                not_eq.insert(name);
            }
            // What holds itself is boxed.
            if !copy || traits.goes_round(name, name) {
                not_copy.insert(name);
            }
        }
        traits.not_eq = holds(true).with_holders(not_eq);
        traits.not_copy = traits.held.with_holders(not_copy);
        traits
    }

    fn of_shape(&self, shape: &Shape) -> (bool, bool) {
        match shape {
            Shape::Record(fields) => self.of_fields(fields),
            Shape::Newtype(ty) => self.of_type(ty),
            Shape::Enum { open, .. } => (true, !open && !self.imported),
            Shape::Union { cases, open } => {
                let closed = (true, !open && !self.imported);
                cases.iter().fold(closed, |all, case| {
                    both(
                        all,
                        match &case.content {
                            Message::Named(name) => self.of_name(name.as_str()),
                            Message::Inline { fields, .. } => self.of_fields(fields),
                        },
                    )
                })
            }
        }
    }

    /// Whether a struct with these fields can be `Eq` and `Hash`, and whether it can be `Copy`.
    pub(crate) fn of_fields(&self, fields: &[Field]) -> (bool, bool) {
        fields.iter().fold((true, true), |all, field| both(all, self.of_type(&field.ty)))
    }

    pub(crate) fn of_type(&self, ty: &Type) -> (bool, bool) {
        match &ty.kind {
            Kind::Scalar(scalar) => scalar_types::is_eq_and_copy(*scalar),
            Kind::List(inner) | Kind::Map(inner) => (self.of_type(inner).0, false),
            Kind::Enum(_) => (true, !self.imported),
            Kind::Table(fields) => self.of_fields(fields),
            Kind::Named(name) => self.of_name(name),
        }
    }

    pub(crate) fn of_name(&self, name: &str) -> (bool, bool) {
        (!self.not_eq.contains(name), !self.not_copy.contains(name))
    }

    pub(crate) fn manifest(&self) -> &'m Manifest {
        self.manifest
    }

    /// Whether a field of this type comes round to its owner.
    pub(crate) fn is_boxed(&self, owner: Owner<'_>, ty: &Type) -> bool {
        match (owner, &ty.kind) {
            (Owner::Type(owner), Kind::Named(name)) => self.goes_round(owner, name),
            _ => false,
        }
    }

    /// Whether `inner`, which `outer` holds, holds `outer`.
    fn goes_round(&self, outer: &str, inner: &str) -> bool {
        if outer == inner {
            return self.in_circles.contains(outer);
        }
        match (self.circles.get(outer), self.circles.get(inner)) {
            (Some(outer), Some(inner)) => outer == inner,
            _ => false,
        }
    }
}

fn both(a: (bool, bool), b: (bool, bool)) -> (bool, bool) {
    (a.0 && b.0, a.1 && b.1)
}

fn held_by<'m>(fields: &'m [Field], through_lists: bool, held: &mut Vec<&'m str>) {
    for field in fields {
        held_by_type(&field.ty, through_lists, held);
    }
}

fn held_by_type<'m>(ty: &'m Type, through_lists: bool, held: &mut Vec<&'m str>) {
    match &ty.kind {
        Kind::Named(name) => held.push(name),
        Kind::Table(fields) => held_by(fields, through_lists, held),
        Kind::List(inner) | Kind::Map(inner) if through_lists => held_by_type(inner, through_lists, held),
        _ => {}
    }
}
