//! The tables that declare types: config keys, fields, elements, and the definitions of `[types]`. Keys that several of these
//! tables have in the same form are functions here; `description` and `deprecated`, which many other tables have too, are in
//! `language`. `fields`, `type_table`, `bounds`, `enum_values`, `definitions`, `messages` and, for `default`, `defaults` in `read`
//! read them. The JSON Schema and the tables of `REFERENCE.md` are made from them too, so their texts are for authors.

use super::{KeySpec, TableSpec, ValueSpec, deprecated, description, key};

/// A key of `[config]`, or a field of a table that is written in place within a key's type. A key has to be this table, a field may
/// also be a string. Unlike [`FIELD`] it has `secret`.
pub(crate) static CONFIG_KEY: TableSpec = TableSpec {
    title: "[config] key",
    description: "A key of the configuration. It is required unless it has a default or is optional.",
    keys: &[
        type_(),
        items(),
        values(),
        key(
            "fields",
            ValueSpec::Entries(&ValueSpec::Type(&CONFIG_KEY)),
            "{ host = \"string\" }",
            "With `type = \"table\"`, and required then: the fields of the object.",
        ),
        enum_(),
        default(),
        required(),
        optional(),
        description(),
        deprecated(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
        key(
            "secret",
            ValueSpec::Boolean,
            "true",
            "The value is never shown in logs, errors and `Debug`. For `string` and `bytes`.",
        ),
    ],
};

/// A field of a record, a message, a case, or a table that is written in place in one of them or in a newtype, in its long form.
/// The short form is a string, the type.
pub(crate) static FIELD: TableSpec = TableSpec {
    title: "Field",
    description: "A field of an object. It is required unless it has a default or is optional.",
    keys: &[
        type_(),
        items(),
        values(),
        fields(),
        enum_(),
        default(),
        required(),
        optional(),
        description(),
        deprecated(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
    ],
};

/// A type in its long form where it has no name: that of items, of values or of a newtype. Unlike [`FIELD`] it has no `default`,
/// `required`, `description` or `deprecated`. The reader takes the `fields` of one within `[config]` as [`CONFIG_KEY`], so they can
/// be `secret`; the JSON Schema refuses that.
pub(crate) static ELEMENT: TableSpec = TableSpec {
    title: "Type",
    description: "The type of the items of a list, of the values of a map, or of a newtype, which can't be optional, or an enum or a table written in place.",
    keys: &[
        type_(),
        items(),
        values(),
        fields(),
        enum_(),
        optional(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
    ],
};

/// A field: a type as a string, or the table [`FIELD`].
pub(crate) static FIELD_KIND: ValueSpec = ValueSpec::Type(&FIELD);

const fn type_() -> KeySpec {
    key(
        "type",
        ValueSpec::TypeText,
        "\"integer\"",
        "The type: a built-in type, a type of `[types]`, or a shorthand such as `\"[string]\"`.",
    )
    .required()
}

const fn items() -> KeySpec {
    key(
        "items",
        ValueSpec::Type(&ELEMENT),
        "\"string\"",
        "With `type = \"list\"`, and required then: the type of the items.",
    )
}

const fn values() -> KeySpec {
    key(
        "values",
        ValueSpec::Type(&ELEMENT),
        "\"string\"",
        "With `type = \"map\"`, and required then: the type of the values. The keys are strings.",
    )
}

const fn fields() -> KeySpec {
    key(
        "fields",
        ValueSpec::Entries(&FIELD_KIND),
        "{ host = \"string\" }",
        "With `type = \"table\"`, and required then: the fields of the object.",
    )
}

const fn enum_() -> KeySpec {
    key(
        "enum",
        ENUM_VALUES,
        "[\"json\", \"text\"]",
        "With `type = \"string\"`: all values that are allowed, at least one, each of printable ASCII with at least one letter or digit. The type becomes an enum in Rust, which can't be `open`.",
    )
}

const fn default() -> KeySpec {
    key(
        "default",
        ValueSpec::Value,
        "10",
        "The value if none is given. It has to fit the type and the bounds. In an enum or a union, also an open one, it has to be a listed value or case.",
    )
}

const fn required() -> KeySpec {
    key(
        "required",
        ValueSpec::Boolean,
        "true",
        "Seldom needed. `false` is the same as `optional = true`, unless there is a default: then it changes nothing. `true` says what holds anyway for a key without a default; it is an error beside a default or an optional type.",
    )
}

const fn optional() -> KeySpec {
    key(
        "optional",
        ValueSpec::Boolean,
        "true",
        "`true`: the value may be `null`, and that of a field also absent, as with `?` after the type. It is an error beside a default. `false` changes nothing.",
    )
}

const fn min() -> KeySpec {
    key("min", ValueSpec::Value, "1", "The least value that is allowed. For `integer`, `float`, `duration` and `size`.")
}

const fn max() -> KeySpec {
    key("max", ValueSpec::Value, "100", "The greatest value that is allowed. For the same types as `min`.")
}

const fn min_length() -> KeySpec {
    key(
        "min_length",
        ValueSpec::Integer,
        "1",
        "The least length that is allowed: characters of a `string`, bytes of `bytes`, items of a list, entries of a map.",
    )
}

const fn max_length() -> KeySpec {
    key(
        "max_length",
        ValueSpec::Integer,
        "64",
        "The greatest length that is allowed, in the same units and for the same types.",
    )
}

const fn pattern() -> KeySpec {
    key(
        "pattern",
        ValueSpec::Text,
        "\"^[A-Z]{2}$\"",
        "A regular expression of the crate `regex-lite` that has to match somewhere in the value; `^` and `$` match its ends. For `string`.",
    )
}

/// The values of an enum: an array of strings, or a table of descriptions and tables.
const ENUM_VALUES: ValueSpec = ValueSpec::Either(
    &ValueSpec::Texts,
    &ValueSpec::Entries(&ValueSpec::Either(&ValueSpec::Text, &ValueSpec::Table(&ENUM_VALUE))),
);

/// A value of an enum, in its long form: a table, which may be empty. The key under which it stands is the value itself. The short
/// form is a string, its description; without descriptions, the values are an array of strings.
pub(crate) static ENUM_VALUE: TableSpec = TableSpec {
    title: "Enum value",
    description: "A value of an enum in its long form. A string in place of the table is its description.",
    keys: &[description(), deprecated()],
};

/// An entry of `[types]`: a string (a newtype), a table of fields (a record), or the long form. [`ValueSpec::Fields`] says which tables
/// are the long form.
pub(crate) const TYPE_DEFINITION: ValueSpec =
    ValueSpec::Either(&ValueSpec::TypeText, &ValueSpec::Fields { field: &FIELD_KIND, long: &TYPE_LONG });

/// An entry of `[types]` in its long form. [`ValueSpec::Fields`] says when it is that.
pub(crate) static TYPE_LONG: TableSpec = TableSpec {
    title: "[types.Name]",
    description: "A type in its long form: exactly one of `fields`, `enum`, `union` and `newtype`, with a table or an array as its value, or `newtype` with a string beside keys of this table alone. Any other table is a record, whose keys are the fields; a string is a newtype.",
    keys: &[
        key("fields", ValueSpec::Entries(&FIELD_KIND), "{ id = \"string\" }", "A record: an object with these fields."),
        key(
            "enum",
            ENUM_VALUES,
            "[\"red\", \"green\"]",
            "An enum: one of these strings, at least one, each of printable ASCII with at least one letter or digit.",
        ),
        key(
            "union",
            ValueSpec::Entries(&ValueSpec::Either(
                &ValueSpec::Text,
                &ValueSpec::Fields { field: &FIELD_KIND, long: &CASE },
            )),
            "{ card = { number = \"string\" }, cash = {} }",
            "A tagged union of at least one case: an object whose field `type` names the case, beside the fields of that case.",
        ),
        key(
            "newtype",
            ValueSpec::Type(&ELEMENT),
            "{ type = \"string\", max_length = 20 }",
            "A newtype: a distinct type with the values of another type, which can't be optional, or an enum or a table written in place.",
        ),
        key(
            "open",
            ValueSpec::Boolean,
            "true",
            "For an enum or a union: a value or case that is not listed is accepted and kept. Without it, it is refused. A default still has to be a listed one. Modules that import this manifest accept any value or case.",
        ),
        description(),
        deprecated(),
    ],
};

/// A case of a union, in its long form: a table with `fields`, which is required. The short forms are in [`TYPE_LONG`], under `union`.
pub(crate) static CASE: TableSpec = TableSpec {
    title: "Case",
    description: "A case of a union in its long form. The name of a record of `[types]`, or a table of fields, can be written instead.",
    keys: &[
        key(
            "fields",
            ValueSpec::Entries(&FIELD_KIND),
            "{ number = \"string\" }",
            "The fields of the case. None of them may be called `type`.",
        )
        .required(),
        description(),
        deprecated(),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scalar;

    #[test]
    fn the_descriptions_name_all_types_that_a_key_applies_to() {
        let described =
            |name| CONFIG_KEY.keys.iter().find(|key| key.name == name).expect("a key of [config]").description;
        for (key, applies) in [
            ("min", Scalar::has_order as fn(Scalar) -> bool),
            ("min_length", Scalar::has_length),
            ("secret", Scalar::can_be_secret),
        ] {
            for scalar in Scalar::ALL {
                let name = format!("`{}`", scalar.name());
                assert_eq!(described(key).contains(&name), applies(*scalar), "{name} in the description of `{key}`");
            }
        }
    }
}
