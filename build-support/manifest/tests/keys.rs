//! That every key of the language is read: each gets a value that no key takes, which has to be a mistake.
//!
//! The opposite, that nothing reads a key that the language does not have, is an assertion in `TableReader::get`, which every test
//! that parses a manifest runs into.

use ixt_manifest::language::{KeySpec, TableSpec, tables};
use ixt_manifest::{Code, Manifest, Source};

/// A date without a time, which is of no type of the language.
const NO_VALUE: &str = "1979-05-27";

/// A manifest that is valid except for `KEY`, a placeholder where this key of this table can be set.
fn manifest(table: &TableSpec, key: &KeySpec) -> String {
    let unless = |name: &str, text: &str| if key.name == name { String::new() } else { format!("{text}\n") };
    let module = "[module]\nname = \"m\"\nversion = \"1.0.0\"\n";
    let ty = unless(
        "type",
        match key.name {
            "items" => "type = \"list\"",
            "values" => "type = \"map\"",
            "fields" => "type = \"table\"",
            "min" | "max" => "type = \"integer\"",
            _ => "type = \"string\"",
        },
    );
    let service = "[provides]\nservices = [\"a.b\"]\n";
    let sections = match table.title {
        "The manifest" => {
            let version = unless("schema_version", "schema_version = \"3.0\"");
            return format!("{version}KEY\n{}", unless("module", module));
        }
        "[module]" => {
            let (name, version) = (unless("name", "name = \"m\""), unless("version", "version = \"1.0.0\""));
            return format!("schema_version = \"3.0\"\n[module]\n{name}{version}KEY\n");
        }
        section @ ("[provides]" | "[requires]" | "[artifacts]" | "[artifacts.process]" | "[limits]" | "[env]") => {
            format!("{section}\nKEY\n")
        }
        "[config] key" => format!("[config.k]\n{ty}KEY\n"),
        "Field" => format!("[types.T.f]\n{ty}KEY\n"),
        "Type" => format!("[config.k]\ntype = \"list\"\n[config.k.items]\n{ty}KEY\n"),
        "Enum value" => "[config.k]\ntype = \"string\"\n[config.k.enum.v]\nKEY\n".to_owned(),
        // With another shape it is the long form, whatever the key is.
        "[types.Name]" if key.name == "enum" => "[types.T]\nfields = {}\nKEY\n".to_owned(),
        "[types.Name]" => "[types.T]\nenum = [\"a\"]\nKEY\n".to_owned(),
        "Case" => format!("[types.T.union.c]\n{}KEY\n", unless("fields", "fields = {}")),
        "[services.\"topic\"]" => format!("{service}[services.\"a.b\"]\nKEY\n"),
        "Message" => format!("{service}[services.\"a.b\".request]\n{}KEY\n", unless("fields", "fields = {}")),
        "Error" => format!("{service}[services.\"a.b\".errors.E]\nKEY\n"),
        "[events.\"topic\"]" => "[provides]\nevents = [\"a.b\"]\n[events.\"a.b\"]\nKEY\n".to_owned(),
        other => panic!("add where the table `{other}` can be in a manifest"),
    };
    format!("schema_version = \"3.0\"\n{module}{sections}")
}

#[test]
fn every_key_of_the_language_is_read() {
    for table in tables() {
        for key in table.keys {
            let given = format!("{} = {NO_VALUE}", key.name);
            let text = manifest(table, key).replace("KEY", &given);
            let start = text.find(&given).unwrap();
            let at = start..start + given.len();
            let name = format!("`{}` in {}", key.name, table.title);
            let Err(report) = Manifest::parse(&Source::new("manifest.toml", text.as_str())) else {
                panic!("nothing reads {name}: this manifest is valid\n{text}");
            };
            let found = report.diagnostics().iter().any(|diagnostic| {
                let span = diagnostic.place().unwrap().span();
                diagnostic.code() != Code::UnknownKey.as_str() && at.contains(&span.start) && span.end <= at.end
            });
            assert!(found, "nothing complains of {name}:\n{report}");
        }
    }
}
