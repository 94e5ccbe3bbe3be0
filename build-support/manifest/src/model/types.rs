//! Fields, the types of their values, the types of messages, and the types of `[types]`.

use std::fmt;

use super::{Bounds, Name, Scalar, Value};
use crate::source::Span;

/// A field of an object, or a key of `[config]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key in the JSON object: ASCII letters, digits, `_` and `-`, beginning with a letter. Upper and lower case differ.
    pub name: Name,
    /// The type of its value.
    pub ty: Type,
    /// The value of a field that is absent or `null`; it fits the type and the bounds. (The host's configuration can't set a key of
    /// `[config]` that has a default to `null`.) `None`: the field has no default, and is required unless its type is optional. A
    /// field never has both a default and an optional type.
    pub default: Option<Value>,
    /// Where the value of the default is written. `Some` exactly if `default` is. (While a manifest is read, it is set before
    /// `default`.)
    pub default_span: Option<Span>,
    /// What the value is for, for people. `None` if the manifest does not say.
    pub description: Option<String>,
    /// `Some` if new code should not use the field.
    pub deprecated: Option<Deprecated>,
    /// Whether the value must not appear in logs, errors and `Debug`. `true` only in `[config]`, there also within a table, and
    /// only for types that [can be secret](Scalar::can_be_secret).
    pub secret: bool,
}

impl Field {
    /// Whether the value or a part of it is secret. Then the default must not be shown either.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.secret || self.ty.holds_secret()
    }

    /// Whether an object without this field is invalid: the field has no default and its type is not optional. Looks
    /// at `default_span`, not at `default`.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default_span.is_none() && !self.ty.optional
    }
}

/// The type of a request, of a response, of an event's payload, or of a union's case. It is always an object.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageType {
    /// A type of `[types]`, by its name: a record or a union; for a case only a record. The span is that of the use.
    Named(Name),
    /// An object whose fields are written where the message is declared.
    Inline {
        /// The fields, sorted by name. May be empty.
        fields: Vec<Field>,
        /// What the message or the case is, for people. `None` if the manifest does not say; only the long form can.
        description: Option<String>,
    },
}

/// A type of `[types]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeDefinition {
    /// The name by which fields and other types refer to it: ASCII letters, digits, `_` and `-`, beginning with a letter. No built-in
    /// type has it.
    pub name: Name,
    /// What the type is, for people. `None` if the manifest does not say.
    pub description: Option<String>,
    /// `Some` if new code should not use the type.
    pub deprecated: Option<Deprecated>,
    /// What the type consists of.
    pub shape: Shape,
}

/// What a type of `[types]` consists of.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each type of a manifest, in no hot place")]
pub enum Shape {
    /// An object with these fields, sorted by name. May be empty.
    Record(Vec<Field>),
    /// One of several texts.
    Enum {
        /// The texts, at least one, none twice. In the order of the manifest if it has an array, otherwise sorted.
        values: Vec<EnumValue>,
        /// Whether a text that is not listed is accepted and kept. If not, it is refused. A default has to be listed in either
        /// case, and code that imports the manifest accepts any text in either case.
        open: bool,
    },
    /// An object whose field `type` names a case, beside the fields of that case.
    Union {
        /// The cases, at least one, sorted by name.
        cases: Vec<Case>,
        /// Whether an object whose case is not listed is accepted and kept. If not, it is refused. A default has to have a listed
        /// case in either case, and code that imports the manifest accepts any.
        open: bool,
    },
    /// A distinct type with the values of this one. This one is neither optional, nor an enum or a table written in place; it may
    /// be any type of `[types]`.
    Newtype(Type),
}

/// A value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumValue {
    /// The text: printable ASCII, also spaces, with at least one letter or digit. Upper and lower case differ.
    pub name: Name,
    /// What the value means, for people. `None` if the manifest does not say.
    pub description: Option<String>,
    /// `Some` if new code should not use the value.
    pub deprecated: Option<Deprecated>,
}

/// A case of a union.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The text of the field `type` that selects this case: ASCII letters, digits, `_` and `-`, beginning with a letter.
    pub name: Name,
    /// `Some` if new code should not use the case.
    pub deprecated: Option<Deprecated>,
    /// The fields beside `type`: those of a record of `[types]`, or written in place. None of them is called `type`.
    pub content: MessageType,
}

/// Marks something that new code should not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecated {
    /// What to use instead: any text. `None`: the manifest has `deprecated = true`.
    pub instead: Option<String>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// The type without `?` and bounds.
    pub kind: TypeKind,
    /// Whether the value may be `null`, and that of a field also absent. `false` for a field with a default, which may be both too.
    pub optional: bool,
    /// What the value has to satisfy beyond its type. Empty if the manifest has no bounds here. The bounds of a newtype are those of
    /// the type in its definition; a field of that type has none of its own.
    pub bounds: Bounds,
    /// Where the text of the type is written in the manifest, with its quotes; in a long form, the value of its key `type`. For a part
    /// of a shorthand, such as the items of `"[string]"`, the span of the whole text.
    pub span: Span,
}

/// A type without `?` and bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeKind {
    /// A built-in type without parts, such as `string`.
    Scalar(Scalar),
    /// `[T]`: any number of values, in an order.
    List(Box<Type>),
    /// `{T}`: any number of values, each under a string key.
    Map(Box<Type>),
    /// An enum that is written in place, with at least one value, in the same order as [`Shape::Enum`]. It can't be open, except in code
    /// that imports the manifest.
    Enum(Vec<EnumValue>),
    /// An object whose fields are written in place, sorted by name. May be empty.
    Table(Vec<Field>),
    /// A type of `[types]`, of any shape, by its name. [`Manifest::find_type`](crate::Manifest::find_type) finds it.
    Named(String),
}

impl TypeKind {
    /// The word for the type in messages: `string` and so on for a built-in type; `list`, `map`, `enum` and `table`; for a type of
    /// `[types]` its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Scalar(scalar) => scalar.name(),
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Enum(_) => "enum",
            Self::Table(_) => "table",
            Self::Named(name) => name,
        }
    }
}

impl Type {
    /// Whether a part of the value is secret. A type of `[types]` holds no secrets: only the tables of `[config]` have the key
    /// `secret`.
    fn holds_secret(&self) -> bool {
        match &self.kind {
            TypeKind::List(inner) | TypeKind::Map(inner) => inner.holds_secret(),
            TypeKind::Table(fields) => fields.iter().any(Field::holds_secret),
            TypeKind::Scalar(_) | TypeKind::Enum(_) | TypeKind::Named(_) => false,
        }
    }
}

/// Writes the type as in a manifest, without its bounds: `[string]?`. An enum and a table that are written in place are the words
/// `enum` and `table`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TypeKind::List(item) => write!(f, "[{item}]")?,
            TypeKind::Map(value) => write!(f, "{{{value}}}")?,
            kind => f.write_str(kind.name())?,
        }
        if self.optional { f.write_str("?") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Manifest, Source};

    #[test]
    fn a_secret_is_found_at_any_depth() {
        let secret = "{ type = \"table\", fields = { pin = { type = \"string\", secret = true } } }";
        let list = |item: &str| format!("{{ type = \"list\", items = {item} }}");
        for (ty, holds) in
            [(secret.to_owned(), true), (list(secret), true), (list(&list(secret)), true), (list("\"string\""), false)]
        {
            let text = format!(
                "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\nkey = {ty}\n"
            );
            let manifest = Manifest::parse(&Source::new("m.toml", text)).unwrap();
            assert_eq!(manifest.config[0].holds_secret(), holds, "{ty}");
        }
    }
}
