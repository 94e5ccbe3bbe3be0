//! One interface in the language of each tool: any number of services, each with a description, a request of three fields and a response of
//! two.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The interface as a manifest, for ixt-build.
pub fn manifest(services: usize) -> String {
    let mut text =
        "schema_version = \"3.0\"\n[module]\nname = \"bench\"\nversion = \"1.0.0\"\n[provides]\nservices = [\n"
            .to_owned();
    for index in 0..services {
        writeln!(text, "  \"{}\",", topic(index)).unwrap();
    }
    text.push_str("]\n");
    for index in 0..services {
        write!(
            text,
            "
[services.\"{}\"]
description = \"Does what number {index} does.\"
request = {{ name = \"string\", amount = \"integer\", ratio = \"float?\" }}
response = {{ id = \"string\", amounts = \"[integer]\" }}
",
            topic(index)
        )
        .unwrap();
    }
    text
}

/// The name of service `index` in the manifest.
pub fn topic(index: usize) -> String {
    format!("group{}.service{index}", index / 10)
}

/// The interface as Protocol Buffers.
pub fn proto(services: usize) -> String {
    let mut text = "syntax = \"proto3\";\npackage bench;\nservice Bench {\n".to_owned();
    for index in 0..services {
        let name = type_name(index);
        writeln!(text, "  // Does what number {index} does.\n  rpc {name}({name}Request) returns ({name}Response);")
            .unwrap();
    }
    text.push_str("}\n");
    for index in 0..services {
        let name = type_name(index);
        write!(
            text,
            "
// The request of number {index}.
message {name}Request {{
  string name = 1;
  int64 amount = 2;
  optional double ratio = 3;
}}

// The response of number {index}.
message {name}Response {{
  string id = 1;
  repeated int64 amounts = 2;
}}
"
        )
        .unwrap();
    }
    text
}

/// The types of the interface as a JSON Schema, which has no services.
pub fn json_schema(services: usize) -> String {
    let mut definitions = serde_json::Map::new();
    for index in 0..services {
        let name = type_name(index);
        let object = |what: &str, properties: Value, required: Value| {
            json!({
                "description": format!("The {what} of number {index}."),
                "type": "object",
                "properties": properties,
                "required": required,
            })
        };
        let request = json!({
            "name": { "type": "string" },
            "amount": { "type": "integer", "format": "int64" },
            "ratio": { "type": "number" },
        });
        let response = json!({
            "id": { "type": "string" },
            "amounts": { "type": "array", "items": { "type": "integer", "format": "int64" } },
        });
        definitions.insert(format!("{name}Request"), object("request", request, json!(["name", "amount"])));
        definitions.insert(format!("{name}Response"), object("response", response, json!(["id", "amounts"])));
    }
    let schema = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "definitions": definitions });
    serde_json::to_string_pretty(&schema).unwrap()
}

/// What the names of the types of service `index` begin with: `Request` or `Response` follows.
pub fn type_name(index: usize) -> String {
    format!("Group{}Service{index}", index / 10)
}
