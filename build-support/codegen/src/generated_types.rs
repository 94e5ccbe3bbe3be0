//! Lists the types that are generated for a manifest, with their Rust names: those of `[types]`, those that are written
//! in place, and an enum for the errors of each service that declares some; of an imported manifest only those that are
//! needed. Types that the author replaces are among them, `Config`, `Topic` and `Handler` are not. The code itself is made in `types`.

use std::collections::BTreeSet;

use ixt_manifest::{
    Case, Deprecated, EnumValue, Field, Manifest, MessageType, Name, ProvidedEvent, ProvidedService, Shape, Type,
    TypeDefinition, TypeKind,
};
use proc_macro2::{Ident, Span};

use crate::names::{self, MessageRole};

/// A type that is generated, with the parts of the manifest that it is generated from.
pub(crate) enum GeneratedType<'m> {
    /// A struct. `owner` is what the fields belong to.
    Record { docs: TypeDocs<'m>, fields: &'m [Field], owner: FieldOwner<'m> },
    /// An enum whose variants are texts in JSON. `values` has at least one. `open`: it gets a variant for all other
    /// texts.
    Enum { docs: TypeDocs<'m>, values: &'m [EnumValue], open: bool },
    /// An enum whose variants are the cases of a tagged union, at least one. `open`: it gets a variant for all other
    /// cases.
    Union { docs: TypeDocs<'m>, cases: &'m [Case], open: bool, owner: FieldOwner<'m> },
    /// A struct around another type, `ty`. `name` is the newtype's own name in the manifest.
    Newtype { docs: TypeDocs<'m>, ty: &'m Type, name: &'m Name },
    /// An enum for the errors that a service declares, of which there is at least one.
    Errors { service: &'m ProvidedService },
}

/// The owner of the fields of a record or of a union's cases. It decides whether fields are in a `Box`, and whether the
/// record can be written as JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldOwner<'m> {
    /// The configuration. Its records can be read, but not written as JSON, since they may hold secrets. No field is in
    /// a `Box`. The enums of the configuration can be written.
    Config,
    /// A request, a response or a payload with fields written in place. No field is in a `Box`.
    Message,
    /// The type of `[types]` with this name in the manifest. The record is this type, or is written in place somewhere
    /// within it. A field is in a `Box` if its type is one of `[types]` that contains the owner again without a list or
    /// map in between.
    Type(&'m str),
}

/// The documentation of a type.
pub(crate) struct TypeDocs<'m> {
    /// The description in the manifest, which may be empty; `None` if there is none.
    pub(crate) description: Option<&'m String>,
    /// `None` if the type is not deprecated. Only types of `[types]` can be.
    pub(crate) deprecated: Option<&'m Deprecated>,
    /// One line of Markdown with a full stop, which is used if there is no description, or one of white space alone.
    pub(crate) fallback: String,
}

/// The types of a manifest, sorted by their Rust names. Several may have the same name; `collisions` reports them
/// before code is made. A type that the author replaces is here too.
pub(crate) struct GeneratedTypes<'m> {
    /// Each type with its Rust name, and with the name in the manifest that a diagnostic points at.
    types: Vec<(Ident, GeneratedType<'m>, &'m Name)>,
    /// Whether this is the manifest of another module, from `[requires.from]`. All its enums and unions are open, even
    /// if it says otherwise: that module may be newer than this copy of its manifest.
    imported: bool,
}

impl<'m> GeneratedTypes<'m> {
    /// All types of the module's own manifest, except `Config`, `Topic` and `Handler`, which every module has.
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

    /// The types of another module's manifest that these of its services and events need: their messages that are
    /// written in place, the enums of the services' errors, and every type of `[types]` that the messages use, directly
    /// or through others; also the types that are written in place in one of them. None of its configuration.
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

    /// The types, sorted by their Rust names.
    fn sorted(mut self) -> Self {
        self.types.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// The types, sorted by their Rust names, each with the name in the manifest that a diagnostic points at: that of
    /// the type, of the field in which it is written, or the topic.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Ident, GeneratedType<'m>, &'m Name)> {
        self.types.iter()
    }

    /// Adds a type. `name` is the name that a diagnostic about `ident` points at.
    fn add(&mut self, ident: &str, ty: GeneratedType<'m>, name: &'m Name) {
        self.types.push((Ident::new(ident, Span::call_site()), ty, name));
    }

    /// Adds a type of `[types]`, and the types that are written in place in it.
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

    /// Adds the messages of a service that are written in place, the types in them, and the enum of its errors, if it
    /// has any.
    fn service(&mut self, service: &'m ProvidedService) {
        let topic = &service.topic;
        self.message(topic, MessageRole::Request, service.request.as_ref(), "request to");
        self.message(topic, MessageRole::Response, service.response.as_ref(), "response of");
        if !service.errors.is_empty() {
            self.add(&names::errors(topic).to_string(), GeneratedType::Errors { service }, topic);
        }
    }

    /// Adds the payload of an event, if it is written in place, and the types in it.
    fn event(&mut self, event: &'m ProvidedEvent) {
        self.message(&event.topic, MessageRole::Payload, event.payload.as_ref(), "payload of");
    }

    /// Adds a message and the types in it, if its fields are written in place. `what` begins the fallback of its docs.
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

    /// Adds `ty`, named `ident`, if it is an enum or a table that is written in place, and the types in the table; of a
    /// list or map, the type of its items or values, named `ident` with `Item` or `Value`. Any other type adds nothing.
    /// `name` is the field or the newtype in which it is written.
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
    /// The names that were found so far. A type is searched only once, so that a recursive type ends.
    names: BTreeSet<&'m str>,
}

impl<'m> Needed<'m> {
    /// Adds the types of `[types]` that a message or a case uses.
    fn message(&mut self, message: &'m MessageType) {
        match message {
            MessageType::Named(name) => self.name(name.as_str()),
            MessageType::Inline { fields, .. } => self.fields(fields),
        }
    }

    /// Adds the type with this name and those that it uses. One that is not declared adds nothing.
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
