//! The manifest language as data: every table whose keys are fixed, and every key in it. The reader refuses all other keys in such a
//! table. The JSON Schema and the tables of keys in `REFERENCE.md` are generated from here: descriptions are Markdown, examples
//! are TOML, titles are plain text. How a value is read and checked is in `read`, not here.
//!
//! Tests keep the tables and the reader together. In debug builds `TableReader::get` panics if the table does not have the key. The
//! reader reads each key through it; `read::defaults` then reads some of them again, from the TOML. `tests/keys.rs` of this crate
//! sets each key to a value that no key accepts; if that gives no error, nothing reads the key, and the test fails.

mod process;
mod reserved;
mod sections;
mod types;

pub use reserved::{BUILT_IN_ERROR_CODES, reserved_variable};

pub(crate) use process::{ARTIFACTS, ENV, LIMITS, PROCESS};
pub(crate) use sections::{ERROR, EVENT, MANIFEST, MESSAGE, MODULE, PROVIDES, REQUIRES, SERVICE};
pub(crate) use types::{CASE, CONFIG_KEY, ELEMENT, ENUM_VALUE, FIELD, TYPE_LONG};

/// The only value of `schema_version`, a string; any other one is an error, also the number `3.0`. It is the version in the
/// manifests of the Python and Node.js quick starts.
pub const SCHEMA_VERSION: &str = "3.0";

/// A table whose keys the language fixes. Any other key in it is an error.
#[derive(Debug)]
pub struct TableSpec {
    /// The heading on the reference page, such as `[module]`, and for a section also the words for it in messages. Unique. The JSON
    /// Schema makes the name of its definition from it.
    pub title: &'static str,
    /// What the table is for. One or more sentences, each with its full stop.
    pub description: &'static str,
    /// The keys, in the order of the reference page, each once. In a manifest they may be in any order.
    pub keys: &'static [KeySpec],
}

/// A key of a [`TableSpec`].
#[derive(Debug)]
pub struct KeySpec {
    /// The key, as it is in the manifest. Unique within the table.
    pub name: &'static str,
    /// Which values it takes. The same key can take others in another table.
    pub kind: ValueSpec,
    /// Whether a table without the key is an error.
    pub required: bool,
    /// What the value means. One or more sentences, each with its full stop.
    pub description: &'static str,
    /// A value in TOML that the key accepts where it applies; without the key itself, and with quotes if it is a string. Shown on
    /// the reference page, in the JSON Schema, and in the error about a required key that is missing.
    pub example: &'static str,
}

/// Which values a key takes, for the JSON Schema and the reference page. It describes the form alone; the key's description says
/// what else a value has to satisfy, such as a range, or at least one item. The reader does not use it to check a value: it has
/// code for each key.
#[derive(Debug)]
pub enum ValueSpec {
    /// `true` or `false`.
    Boolean,
    /// A string.
    Text,
    /// One of these strings; upper and lower case differ.
    Choice(&'static [&'static str]),
    /// An array of strings, none of them twice.
    Texts,
    /// An array of strings whose order matters. The same string may be in it twice.
    Arguments,
    /// An integer, 0 to 2^63 - 1.
    Integer,
    /// A finite integer or float, above 0.
    Number,
    /// A size: a number of bytes as an integer, or a string such as `"256MiB"`, in which the unit may be missing.
    Size,
    /// A duration, as a string that `Value::duration` reads, such as `"250ms"` or `"1h 30m"`. Not a number.
    Duration,
    /// A boolean, or a string that says what to use instead and may be empty. `false` is the same as no key.
    Deprecated,
    /// A value of the type that the same table declares, such as a default.
    Value,
    /// A type, as a string such as `"[string]"`.
    TypeText,
    /// A type as a string, or this table in its place.
    Type(&'static TableSpec),
    /// This table.
    Table(&'static TableSpec),
    /// A table whose keys the author chooses, such as field names; their values are all of this kind.
    Entries(&'static ValueSpec),
    /// A value of either kind. The TOML type tells which one it is.
    Either(&'static ValueSpec, &'static ValueSpec),
    /// An object, in its short or its long form. It is the long form if one of certain keys has an array, or a table without a
    /// string at `type`: `fields`, and in `[types]` also `enum`, `union` and `newtype`. At `newtype` any table counts, and also a
    /// string if the object has no keys but those of the long form. Otherwise each key is a field.
    Fields {
        /// The short form: a table from the author's field names to values of this kind.
        field: &'static ValueSpec,
        /// The long form: this table. The fields are under its key `fields`; in `[types]` another key may be there instead.
        long: &'static TableSpec,
    },
}

/// The table of the manifest as a whole: `schema_version` and the sections. Every other table is reached from its keys.
#[must_use]
pub fn root() -> &'static TableSpec {
    &MANIFEST
}

/// All tables, each once, in the order of the reference page; [`root`] is the first.
#[must_use]
pub fn tables() -> &'static [&'static TableSpec] {
    static TABLES: [&TableSpec; 18] = [
        &MANIFEST,
        &MODULE,
        &PROVIDES,
        &REQUIRES,
        &CONFIG_KEY,
        &FIELD,
        &ELEMENT,
        &ENUM_VALUE,
        &TYPE_LONG,
        &CASE,
        &SERVICE,
        &MESSAGE,
        &ERROR,
        &EVENT,
        &ARTIFACTS,
        &PROCESS,
        &LIMITS,
        &ENV,
    ];
    &TABLES
}

/// A key that is not required; the method `required` makes it so.
const fn key(name: &'static str, kind: ValueSpec, example: &'static str, description: &'static str) -> KeySpec {
    KeySpec { name, kind, required: false, description, example }
}

impl KeySpec {
    /// The same key, but a table without it is an error.
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// `description`, which many tables have.
const fn description() -> KeySpec {
    key("description", ValueSpec::Text, "\"The greatest number of items\"", "What it is or does, for people.")
}

/// `deprecated`, which many tables have.
const fn deprecated() -> KeySpec {
    key(
        "deprecated",
        ValueSpec::Deprecated,
        "\"use the key limit\"",
        "`true` or a text: new code should not use it. The text says what to use instead.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the titles of all tables that values of this kind may contain, once each.
    fn reach(kind: &'static ValueSpec, found: &mut Vec<&'static str>) {
        let table = match kind {
            ValueSpec::Type(table) | ValueSpec::Table(table) => table,
            ValueSpec::Fields { field, long } => {
                reach(field, found);
                long
            }
            ValueSpec::Entries(kind) => return reach(kind, found),
            ValueSpec::Either(one, other) => {
                reach(one, found);
                return reach(other, found);
            }
            ValueSpec::Boolean
            | ValueSpec::Text
            | ValueSpec::Choice(_)
            | ValueSpec::Texts
            | ValueSpec::Arguments
            | ValueSpec::Integer
            | ValueSpec::Number
            | ValueSpec::Size
            | ValueSpec::Duration
            | ValueSpec::Deprecated
            | ValueSpec::Value
            | ValueSpec::TypeText => return,
        };
        if !found.contains(&table.title) {
            found.push(table.title);
            table.keys.iter().for_each(|key| reach(&key.kind, found));
        }
    }

    #[test]
    fn the_list_has_every_table_that_a_manifest_can_contain() {
        let mut found = vec![root().title];
        root().keys.iter().for_each(|key| reach(&key.kind, &mut found));
        let mut listed: Vec<_> = tables().iter().map(|table| table.title).collect();
        assert_eq!(listed[0], root().title);
        listed.sort_unstable();
        found.sort_unstable();
        assert_eq!(listed, found);
    }
}
