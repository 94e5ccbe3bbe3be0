//! The tables that declare types: config keys, fields, elements, and the definitions of `[types]`.

use super::{Key, Kind, TableSpec, deprecated, description, key};

pub(crate) static CONFIG_KEY: TableSpec = TableSpec {
    title: "[config] key",
    description: "A key of the configuration. It is required unless it has a default or is optional.",
    keys: &[
        type_(),
        items(),
        values(),
        key(
            "fields",
            Kind::Entries(&Kind::Type(&CONFIG_KEY)),
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
            Kind::Boolean,
            "true",
            "The value is never shown in logs, errors and `Debug`. Only for `string` and `bytes`.",
        ),
    ],
};

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

pub(crate) static ELEMENT: TableSpec = TableSpec {
    title: "Type",
    description: "The type of the items of a list, of the values of a map, or of the value of a newtype.",
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

pub(crate) static FIELD_KIND: Kind = Kind::Type(&FIELD);

const fn type_() -> Key {
    key(
        "type",
        Kind::TypeText,
        "\"integer\"",
        "The type: a built-in type, a type of `[types]`, or a shorthand such as `\"[string]\"`.",
    )
    .required()
}

const fn items() -> Key {
    key(
        "items",
        Kind::Type(&ELEMENT),
        "\"string\"",
        "With `type = \"list\"`, and required then: the type of the items.",
    )
}

const fn values() -> Key {
    key(
        "values",
        Kind::Type(&ELEMENT),
        "\"string\"",
        "With `type = \"map\"`, and required then: the type of the values. The keys are strings.",
    )
}

const fn fields() -> Key {
    key(
        "fields",
        Kind::Entries(&FIELD_KIND),
        "{ host = \"string\" }",
        "With `type = \"table\"`, and required then: the fields of the object.",
    )
}

const fn enum_() -> Key {
    key(
        "enum",
        ENUM_VALUES,
        "[\"json\", \"text\"]",
        "With `type = \"string\"`: all values that are allowed. The type becomes an enum in Rust.",
    )
}

const fn default() -> Key {
    key("default", Kind::Value, "10", "The value that holds if none is given. It has to fit the type and the bounds.")
}

const fn required() -> Key {
    key(
        "required",
        Kind::Boolean,
        "true",
        "`true` changes nothing, since a key without a default is required; with a default it is an error. `false` is the same as `optional = true`, unless there is a default.",
    )
}

const fn optional() -> Key {
    key("optional", Kind::Boolean, "true", "`true`: the value may be absent or `null`, as with `?` behind the type.")
}

const fn min() -> Key {
    key("min", Kind::Value, "1", "The least value that is allowed. For `integer`, `float`, `duration` and `size`.")
}

const fn max() -> Key {
    key("max", Kind::Value, "100", "The greatest value that is allowed. For the same types as `min`.")
}

const fn min_length() -> Key {
    key(
        "min_length",
        Kind::Integer,
        "1",
        "The least length that is allowed: characters of a `string`, bytes of `bytes`, items of a list, entries of a map.",
    )
}

const fn max_length() -> Key {
    key("max_length", Kind::Integer, "64", "The greatest length that is allowed, in the same units.")
}

const fn pattern() -> Key {
    key(
        "pattern",
        Kind::Text,
        "\"^[A-Z]{2}$\"",
        "A regular expression that has to match somewhere in the value; `^` and `$` match its ends. For `string`.",
    )
}

const ENUM_VALUES: Kind =
    Kind::Either(&Kind::Texts, &Kind::Entries(&Kind::Either(&Kind::Text, &Kind::Table(&ENUM_VALUE))));

pub(crate) static ENUM_VALUE: TableSpec = TableSpec {
    title: "Enum value",
    description: "A value of an enum. Its description alone can be written instead.",
    keys: &[description(), deprecated()],
};

pub(crate) const TYPE_DEFINITION: Kind =
    Kind::Either(&Kind::TypeText, &Kind::Fields { field: &FIELD_KIND, long: &TYPE_LONG });

pub(crate) static TYPE_LONG: TableSpec = TableSpec {
    title: "[types.Name]",
    description: "A type in its long form, which has exactly one of `fields`, `enum`, `union` and `newtype`. A table without any of these is a record, and its keys are the fields; a string is a newtype.",
    keys: &[
        key("fields", Kind::Entries(&FIELD_KIND), "{ id = \"string\" }", "A record: an object with these fields."),
        key("enum", ENUM_VALUES, "[\"red\", \"green\"]", "An enum: one of these strings."),
        key(
            "union",
            Kind::Entries(&Kind::Either(&Kind::Text, &Kind::Fields { field: &FIELD_KIND, long: &CASE })),
            "{ card = { number = \"string\" }, cash = {} }",
            "A tagged union: an object whose field `type` names the case, beside the fields of that case.",
        ),
        key(
            "newtype",
            Kind::Type(&ELEMENT),
            "{ type = \"string\", max_length = 20 }",
            "A newtype: a type of its own with the values of another type.",
        ),
        key(
            "open",
            Kind::Boolean,
            "true",
            "For an enum or a union: a value or case that is not listed is accepted and kept. Without it, it is refused.",
        ),
        description(),
        deprecated(),
    ],
};

pub(crate) static CASE: TableSpec = TableSpec {
    title: "Case",
    description: "A case of a union in its long form. The name of a record of `[types]`, or a table of fields, can be written instead.",
    keys: &[
        key("fields", Kind::Entries(&FIELD_KIND), "{ number = \"string\" }", "The fields of the case.").required(),
        description(),
        deprecated(),
    ],
};
