//! `[types]`: its definitions, and what has to hold between them.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use crate::language::{CASE, TYPE_LONG};
use crate::model::{Case, Field, Kind, Manifest, Message, Name, Shape, Type, TypeDefinition};
use crate::read::fields::{Owner, Reader, is_long_form, not_an_object};
use crate::read::shorthand::BUILT_IN;
use crate::read::table_reader::{Node, Table, wrong_kind};
use crate::{Code, Diagnostic, Span};

impl<'a> Reader<'a> {
    /// `[types]`, without its defaults.
    pub(crate) fn types(&mut self, root: &Table<'a>) -> BTreeMap<String, TypeDefinition> {
        let entries = root.entries("types", &mut self.errors);
        entries
            .into_iter()
            .filter_map(|(name, node)| {
                self.check_name(&name, "a type");
                if BUILT_IN.contains(&name.as_str()) {
                    let message = format!("the type `{name}` is built in");
                    self.errors
                        .push(Diagnostic::new(Code::ReservedName, message).at(name.span(), "choose another name"));
                }
                let definition = self.definition(name, node)?;
                Some((definition.name.to_string(), definition))
            })
            .collect()
    }

    fn definition(&mut self, name: Name, node: Node<'a>) -> Option<TypeDefinition> {
        let place = format!("the type `{name}`");
        let entries = match node.get_ref() {
            DeValue::String(text) => {
                let ty = self.type_text(&Name::new(text.as_ref(), node.span()), false)?;
                let shape = self.newtype(ty, &place)?;
                return Some(TypeDefinition { name, description: None, deprecated: None, shape });
            }
            DeValue::Table(entries) => entries,
            _ => {
                self.errors.push(wrong_kind(&place, node, "a table of fields, or the text of a type"));
                return None;
            }
        };
        if !is_long_form(entries, &["fields", "enum", "union", "newtype"]) {
            let shape = Shape::Record(self.fields(entries, &place, Owner::Message));
            return Some(TypeDefinition { name, description: None, deprecated: None, shape });
        }
        let table = Table::new(entries, &name.span(), place.clone(), &TYPE_LONG, &mut self.errors);
        let description = table.text("description", &mut self.errors);
        let deprecated = table.deprecated(&mut self.errors);
        let open = table.boolean("open", &mut self.errors) == Some(true);
        let mut shapes = ["fields", "enum", "union", "newtype"].into_iter().filter(|key| table.get(key).is_some());
        let (Some(key), second) = (shapes.next(), shapes.next()) else { unreachable!("the long form has one of them") };
        if let Some(second) = second {
            let says = |key| match key {
                "fields" => "says that it is a record",
                "enum" => "says that it is an enum",
                "union" => "says that it is a union",
                _ => "says that it is a newtype",
            };
            let error = Diagnostic::new(Code::Contradiction, format!("{place} can't be two things"))
                .at(table.key_span(second), says(second))
                .related(table.key_span(key), says(key));
            self.errors.push(error);
        }
        if open && matches!(key, "fields" | "newtype") {
            let message = format!("`open` does not go with `{key}`");
            let label = "for `enum` and `union` alone";
            self.errors.push(Diagnostic::new(Code::Inapplicable, message).at(table.key_span("open"), label));
        }
        let shape = match key {
            "fields" => Shape::Record(self.long_fields(&table, &place)?),
            "enum" => {
                let values = self.enum_values(table.get("enum")?, &format!("`enum` of {place}"))?;
                Shape::Enum { values, open }
            }
            "union" => Shape::Union { cases: self.cases(&table, &place), open },
            _ => {
                let node = table.get("newtype")?;
                let ty =
                    self.element(node, &table.key_span("newtype"), &format!("`newtype` of {place}"), Owner::Message)?;
                self.newtype(ty, &place)?
            }
        };
        Some(TypeDefinition { name, description, deprecated, shape })
    }

    fn newtype(&mut self, ty: Type, place: &str) -> Option<Shape> {
        let (message, help) = if ty.optional {
            (format!("{place} can't be optional"), "put the `?` where the type is used")
        } else if matches!(ty.kind, Kind::Enum(_)) {
            (format!("{place} is an enum"), "write `enum = […]` without `newtype`")
        } else if matches!(ty.kind, Kind::Table(_)) {
            (format!("{place} is a record"), "write `fields = { … }` without `newtype`")
        } else {
            return Some(Shape::Newtype(ty));
        };
        self.errors.push(Diagnostic::new(Code::InvalidType, message).at(ty.span, "").help(help));
        None
    }

    fn cases(&mut self, table: &Table<'a>, place: &str) -> Vec<Case> {
        let entries = table.entries("union", &mut self.errors);
        if entries.is_empty() {
            let message = format!("the union of {place} has no cases");
            let error =
                Diagnostic::new(Code::InvalidValue, message).at(table.key_span("union"), "expected at least one");
            self.errors.push(error);
        }
        entries
            .into_iter()
            .filter_map(|(name, node)| {
                self.check_name(&name, "a case");
                self.case(name, node, place)
            })
            .collect()
    }

    fn case(&mut self, name: Name, node: Node<'a>, place: &str) -> Option<Case> {
        let place = format!("the case `{name}` of {place}");
        match node.get_ref() {
            DeValue::String(text) => {
                let record = self.object_name(&Name::new(text.as_ref(), node.span()), &place)?;
                Some(Case { name, deprecated: None, content: Message::Named(record) })
            }
            DeValue::Table(entries) => {
                if !is_long_form(entries, &["fields"]) {
                    let fields = self.fields(entries, &place, Owner::Message);
                    return Some(Case {
                        name,
                        deprecated: None,
                        content: Message::Inline { fields, description: None },
                    });
                }
                let table = Table::new(entries, &name.span(), place.clone(), &CASE, &mut self.errors);
                let description = table.text("description", &mut self.errors);
                let deprecated = table.deprecated(&mut self.errors);
                let fields = self.long_fields(&table, &place)?;
                Some(Case { name, deprecated, content: Message::Inline { fields, description } })
            }
            _ => {
                self.errors.push(wrong_kind(&place, node, "the name of a record, or a table of fields"));
                None
            }
        }
    }

    /// Checks what can only be checked when all types are known, and reads the defaults.
    pub(crate) fn finish_types(&mut self, types: &mut BTreeMap<String, TypeDefinition>) {
        check_finite(types, &mut self.errors);
        check_unions(types, &mut self.errors);
        for definition in types.values() {
            if let Shape::Union { cases, .. } = &definition.shape {
                for case in cases {
                    self.check_case(case, &definition.name, types);
                }
            }
        }
        let known = types.clone();
        for definition in types.values_mut() {
            match &mut definition.shape {
                Shape::Record(fields) => self.read_defaults(fields, &known),
                Shape::Newtype(ty) => self.read_nested_defaults(ty, &known),
                Shape::Union { cases, .. } => {
                    for case in cases {
                        if let Message::Inline { fields, .. } = &mut case.content {
                            self.read_defaults(fields, &known);
                        }
                    }
                }
                Shape::Enum { .. } => {}
            }
        }
    }

    fn check_case(&mut self, case: &Case, union: &Name, types: &BTreeMap<String, TypeDefinition>) {
        let fields = match &case.content {
            Message::Inline { fields, .. } => fields,
            Message::Named(name) => match types.get(name.as_str()).map(|definition| &definition.shape) {
                Some(Shape::Record(fields)) => fields,
                Some(_) => {
                    let message = format!("the case `{}` of the type `{union}` must be a record", case.name);
                    self.errors.push(
                        Diagnostic::new(Code::NotAnObject, message)
                            .at(name.span(), "expected a record of [types], or a table of fields"),
                    );
                    return;
                }
                None => return,
            },
        };
        if let Some(field) = fields.iter().find(|field| field.name.as_str() == "type") {
            let message = format!("the case `{}` of the type `{union}` has a field `type`", case.name);
            self.errors.push(
                Diagnostic::new(Code::ReservedName, message)
                    .at(field.name.span(), "in JSON, `type` says which case it is")
                    .related(case.name.span(), "the case")
                    .help("rename the field"),
            );
        }
    }

    /// Checks that the message is an object, whatever its type is.
    pub(crate) fn check_message(
        &mut self,
        message: Option<&Message>,
        place: &str,
        types: &BTreeMap<String, TypeDefinition>,
    ) {
        if let Some(Message::Named(name)) = message
            && let Some(definition) = types.get(name.as_str())
            && matches!(definition.shape, Shape::Enum { .. } | Shape::Newtype(_))
        {
            self.errors.push(not_an_object(place, name.span()).related(definition.name.span(), "this is no object"));
        }
    }
}

/// Reports every type that holds itself without a list, a map or an optional in between: no such value can exist.
fn check_finite(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    // What a type can't be without. Unions have a check of their own, since one case that can exist is enough for them.
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
            let Kind::Named(name) = &ty.kind else { continue };
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

/// Reports every union of which no case can exist, since each holds the union again.
fn check_unions(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    if !types.values().any(|definition| matches!(definition.shape, Shape::Union { .. })) {
        return;
    }
    let mut finite = BTreeSet::new();
    let mut definitions: Vec<_> = types.values().collect();
    loop {
        let before = finite.len();
        // Both ways in turn: a long chain of types is mostly declared in the order of its names, or against it.
        definitions.reverse();
        for definition in &definitions {
            let fits = |held: &[&Type]| {
                held.iter().all(|ty| match &ty.kind {
                    Kind::Named(name) => finite.contains(name.as_str()) || !types.contains_key(name),
                    _ => true,
                })
            };
            let can_exist = match &definition.shape {
                Shape::Union { cases, open } => {
                    *open
                        || cases.is_empty()
                        || cases.iter().any(|case| match &case.content {
                            Message::Named(name) => {
                                finite.contains(name.as_str()) || !types.contains_key(name.as_str())
                            }
                            Message::Inline { fields, .. } => fits(&held_by(fields)),
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

/// The types that an object of these fields can't be without.
fn held_by(fields: &[Field]) -> Vec<&Type> {
    fields.iter().flat_map(|field| held_by_type(&field.ty)).collect()
}

fn held_by_type(ty: &Type) -> Vec<&Type> {
    match &ty.kind {
        _ if ty.optional => Vec::new(),
        Kind::Named(_) => vec![ty],
        Kind::Table(fields) => held_by(fields),
        _ => Vec::new(),
    }
}

/// Warns of types that nothing uses, and of those that are deprecated and used all the same.
pub(crate) fn check_use(manifest: &Manifest, warnings: &mut Vec<Diagnostic>) {
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
        for (name, span, by_deprecated) in references.drain(..) {
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

/// The name of a type, where it is used, and whether by something that is deprecated itself.
type Use<'m> = (&'m str, Span, bool);

fn message_uses<'m>(message: &'m Message, deprecated: bool, uses: &mut Vec<Use<'m>>) {
    match message {
        Message::Named(name) => uses.push((name.as_str(), name.span(), deprecated)),
        Message::Inline { fields, .. } => field_uses(fields, deprecated, uses),
    }
}

fn field_uses<'m>(fields: &'m [Field], deprecated: bool, uses: &mut Vec<Use<'m>>) {
    for field in fields {
        type_uses(&field.ty, deprecated || field.deprecated.is_some(), uses);
    }
}

fn type_uses<'m>(ty: &'m Type, deprecated: bool, uses: &mut Vec<Use<'m>>) {
    match &ty.kind {
        Kind::List(inner) | Kind::Map(inner) => type_uses(inner, deprecated, uses),
        Kind::Table(fields) => field_uses(fields, deprecated, uses),
        Kind::Named(name) => uses.push((name, ty.span.clone(), deprecated)),
        _ => {}
    }
}
