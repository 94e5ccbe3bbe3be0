//! `ixt schema`: a JSON Schema of manifests for editors, made from the tables of `ixt_manifest::language`. It allows
//! some manifests that `ixt check` refuses: it knows the kinds of values, but few ranges, and no rule about several
//! keys. It reads no file, and is the same for each module.

use std::collections::BTreeMap;

use ixt_manifest::language::{self, KeySpec, TableSpec, ValueSpec};
use serde_json::{Map, Value, json};

use crate::failure::Result;
use crate::output::print;

/// Prints the schema to stdout, in draft 7, as JSON in several lines.
pub(crate) fn schema() -> Result<()> {
    let mut schema = Schema::default();
    let mut root = schema.table(language::root());
    let fields = root.as_object_mut().expect("a table is an object");
    // Draft 7 is what the plugins of editors support.
    fields.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    fields.insert("title".to_owned(), json!("IXT module manifest"));
    fields.insert("definitions".to_owned(), json!(schema.definitions));
    let text = serde_json::to_string_pretty(&root).expect("a JSON value is JSON");
    print(&format!("{text}\n"))
}

/// The schema while it is made.
#[derive(Default)]
struct Schema {
    /// The schemas of the tables that are referred to, by their names in `#/definitions`. `null`: the table is being
    /// made. At the end none is.
    definitions: BTreeMap<String, Value>,
}

impl Schema {
    /// The schema of a table: an object with these keys and no others. The tables that it refers to are added as
    /// definitions.
    fn table(&mut self, table: &'static TableSpec) -> Value {
        let properties: Map<String, Value> =
            table.keys.iter().map(|key| (key.name.to_owned(), self.key(key))).collect();
        let required: Vec<_> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        json!({
            "type": "object",
            "description": table.description,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// The schema of a key, with its description and example for the editor.
    fn key(&mut self, key: &KeySpec) -> Value {
        let description = format!("{}\n\nExample: `{} = {}`", key.description, key.name, key.example);
        // Draft 7 ignores all keys beside a `$ref`, so the reference is wrapped.
        let mut schema = match self.kind(&key.kind) {
            Value::Object(schema) if !schema.contains_key("$ref") => schema,
            reference => Map::from_iter([("allOf".to_owned(), json!([reference]))]),
        };
        schema.insert("description".to_owned(), json!(description));
        Value::Object(schema)
    }

    /// The schema of the values of a kind, without a description. A text that has to have a form, such as a duration,
    /// is any string.
    fn kind(&mut self, kind: &ValueSpec) -> Value {
        match kind {
            ValueSpec::Boolean => json!({ "type": "boolean" }),
            ValueSpec::Text | ValueSpec::TypeText | ValueSpec::Duration => json!({ "type": "string" }),
            ValueSpec::Choice(values) => json!({ "enum": values }),
            ValueSpec::Texts => json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
            ValueSpec::Arguments => json!({ "type": "array", "items": { "type": "string" } }),
            ValueSpec::Integer => json!({ "type": "integer", "minimum": 0 }),
            ValueSpec::Number => json!({ "type": "number", "exclusiveMinimum": 0 }),
            ValueSpec::Size => json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string" }] }),
            ValueSpec::Deprecated => json!({ "anyOf": [{ "type": "boolean" }, { "type": "string" }] }),
            ValueSpec::Value => json!({}),
            ValueSpec::Type(table) => json!({ "anyOf": [{ "type": "string" }, self.reference(table)] }),
            ValueSpec::Table(table) => self.reference(table),
            ValueSpec::Entries(kind) => json!({ "type": "object", "additionalProperties": self.kind(kind) }),
            ValueSpec::Either(one, other) => json!({ "anyOf": [self.kind(one), self.kind(other)] }),
            ValueSpec::Fields { field, long } => {
                let field = self.kind(field);
                json!({ "anyOf": [self.reference(long), { "type": "object", "additionalProperties": field }] })
            }
        }
    }

    /// A reference to the definition of a table, which is added if it is missing. A table may contain itself, so it
    /// can't be inlined. The name of the definition comes from the table's title.
    fn reference(&mut self, table: &'static TableSpec) -> Value {
        let words = table.title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            let definition = self.table(table);
            self.definitions.insert(name.clone(), definition);
        }
        json!({ "$ref": format!("#/definitions/{name}") })
    }
}
