//! Which types are generated for a manifest, and under which names: those of `[types]`, those that are written in place, and an enum
//! for the errors of each service.

use std::collections::BTreeSet;

use ixt_manifest::{
    Case, Deprecated, EnumValue, Field, Manifest, MessageType, Name, ProvidedEvent, ProvidedService, Shape, Type,
    TypeDefinition, TypeKind,
};
use proc_macro2::{Ident, Span};

use crate::names::{self, MessageRole};

/// A type that is generated, with the parts of the manifest that it is generated from.
pub(crate) enum GeneratedType<'m> {
    /// A struct.
    Record { docs: TypeDocs<'m>, fields: &'m [Field], owner: FieldOwner<'m> },
    /// An enum whose variants are texts in JSON.
    Enum { docs: TypeDocs<'m>, values: &'m [EnumValue], open: bool },
    /// An enum whose variants are the cases of a tagged union.
    Union { docs: TypeDocs<'m>, cases: &'m [Case], open: bool, owner: FieldOwner<'m> },
    /// A struct around another type. `name` is its name in the manifest.
    Newtype { docs: TypeDocs<'m>, ty: &'m Type, name: &'m Name },
    /// An enum for the errors that a service declares.
    Errors { service: &'m ProvidedService },
}

/// What the fields of a record belong to. It decides whether they are boxed, and whether the record can be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldOwner<'m> {
    /// The configuration. Its types can be read, but not written as JSON, since they may hold secrets.
    Config,
    /// A request, a response or a payload with fields written in place.
    Message,
    /// The type of `[types]` with this name: the record is this type, or is written in place somewhere within it.
    Type(&'m str),
}

/// The documentation of a type.
pub(crate) struct TypeDocs<'m> {
    pub(crate) description: Option<&'m String>,
    pub(crate) deprecated: Option<&'m Deprecated>,
    /// The documentation if the manifest has no description, as a whole sentence.
    pub(crate) fallback: String,
}

/// The types of a manifest, sorted by their Rust names. Two may have the same name until `collisions` has checked them.
pub(crate) struct GeneratedTypes<'m> {
    types: Vec<(Ident, GeneratedType<'m>, &'m Name)>,
    /// Whether the manifest is one of `[requires.from]`, that of another module. All its enums and unions are open then, whatever it says:
    /// that module may run in a newer version than its manifest here.
    imported: bool,
}

impl<'m> GeneratedTypes<'m> {
    /// All types of the module's own manifest, except those that every module has: `Config`, `Topic` and `Handler`.
    pub(crate) fn of(manifest: &'m Manifest) -> Self {
        let mut types = Self { types: Vec::new(), imported: false };
        types.inline_fields("Config", &manifest.config, FieldOwner::Config);
        for definition in &manifest.types {
            types.definition(definition);
        }
        for service in &manifest.services {
            types.service(service);
        }
        for event in &manifest.events {
            types.event(event);
        }
        types.sorted()
    }

    /// Those types of another module's manifest that these of its services and events need.
    pub(crate) fn imported(
        manifest: &'m Manifest,
        services: &[&'m ProvidedService],
        events: &[&'m ProvidedEvent],
    ) -> Self {
        let mut types = Self { types: Vec::new(), imported: true };
        let mut needed = Needed { manifest, names: BTreeSet::new() };
        for service in services {
            types.service(service);
            service.request.iter().chain(&service.response).for_each(|message| needed.message(message));
        }
        for event in events {
            types.event(event);
            event.payload.iter().for_each(|message| needed.message(message));
        }
        for name in needed.names {
            types.definition(manifest.find_type(name).expect("only names of types were collected"));
        }
        types.sorted()
    }

    fn sorted(mut self) -> Self {
        self.types.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// The types, with their Rust names and what the manifest calls them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Ident, GeneratedType<'m>, &'m Name)> {
        self.types.iter()
    }

    /// Adds the type that is generated for `name` in the manifest.
    fn add(&mut self, ident: &str, ty: GeneratedType<'m>, name: &'m Name) {
        self.types.push((Ident::new(ident, Span::call_site()), ty, name));
    }

    fn definition(&mut self, definition: &'m TypeDefinition) {
        let name = &definition.name;
        let ident = names::camel(name.as_str()).to_string();
        let docs = TypeDocs {
            description: definition.description.as_ref(),
            deprecated: definition.deprecated.as_ref(),
            fallback: format!("The type `{name}` of the manifest."),
        };
        let owner = FieldOwner::Type(name.as_str());
        let ty = match &definition.shape {
            Shape::Record(fields) => {
                self.inline_fields(&ident, fields, owner);
                GeneratedType::Record { docs, fields, owner }
            }
            Shape::Enum { values, open } => GeneratedType::Enum { docs, values, open: *open || self.imported },
            Shape::Union { cases, open } => {
                for case in cases {
                    if let MessageType::Inline { fields, .. } = &case.content {
                        self.inline_fields(&names::inline(&ident, &case.name), fields, owner);
                    }
                }
                GeneratedType::Union { docs, cases, open: *open || self.imported, owner }
            }
            Shape::Newtype(ty) => {
                self.inline_type(&ident, ty, name, owner);
                GeneratedType::Newtype { docs, ty, name }
            }
        };
        self.add(&ident, ty, name);
    }

    fn service(&mut self, service: &'m ProvidedService) {
        let topic = &service.topic;
        self.message(topic, MessageRole::Request, service.request.as_ref(), "request to");
        self.message(topic, MessageRole::Response, service.response.as_ref(), "response of");
        if !service.errors.is_empty() {
            self.add(&names::errors(topic).to_string(), GeneratedType::Errors { service }, topic);
        }
    }

    fn event(&mut self, event: &'m ProvidedEvent) {
        self.message(&event.topic, MessageRole::Payload, event.payload.as_ref(), "payload of");
    }

    fn message(&mut self, topic: &'m Name, role: MessageRole, message: Option<&'m MessageType>, what: &str) {
        if let Some(message @ MessageType::Inline { fields, description }) = message {
            let ident = names::message(topic, role, message).to_string();
            self.inline_fields(&ident, fields, FieldOwner::Message);
            let fallback = format!("The {what} `{topic}`.");
            let docs = TypeDocs { description: description.as_ref(), deprecated: None, fallback };
            self.add(&ident, GeneratedType::Record { docs, fields, owner: FieldOwner::Message }, topic);
        }
    }

    /// Adds the types that are written in place in the fields of the type `ident`.
    fn inline_fields(&mut self, ident: &str, fields: &'m [Field], owner: FieldOwner<'m>) {
        for field in fields {
            self.inline_type(&names::inline(ident, &field.name), &field.ty, &field.name, owner);
        }
    }

    fn inline_type(&mut self, ident: &str, ty: &'m Type, name: &'m Name, owner: FieldOwner<'m>) {
        let docs =
            |what: &str| TypeDocs { description: None, deprecated: None, fallback: format!("The {what} of `{name}`.") };
        match &ty.kind {
            TypeKind::List(item) => self.inline_type(&format!("{ident}Item"), item, name, owner),
            TypeKind::Map(value) => self.inline_type(&format!("{ident}Value"), value, name, owner),
            TypeKind::Enum(values) => {
                self.add(ident, GeneratedType::Enum { docs: docs("values"), values, open: self.imported }, name);
            }
            TypeKind::Table(fields) => {
                self.inline_fields(ident, fields, owner);
                self.add(ident, GeneratedType::Record { docs: docs("fields"), fields, owner }, name);
            }
            TypeKind::Scalar(_) | TypeKind::Named(_) => {}
        }
    }
}

/// Collects the types of `[types]` that messages need, directly or through others.
struct Needed<'m> {
    manifest: &'m Manifest,
    names: BTreeSet<&'m str>,
}

impl<'m> Needed<'m> {
    fn message(&mut self, message: &'m MessageType) {
        match message {
            MessageType::Named(name) => self.name(name.as_str()),
            MessageType::Inline { fields, .. } => self.fields(fields),
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
            TypeKind::List(inner) | TypeKind::Map(inner) => self.ty(inner),
            TypeKind::Table(fields) => self.fields(fields),
            TypeKind::Named(name) => self.name(name),
            TypeKind::Scalar(_) | TypeKind::Enum(_) => {}
        }
    }
}
