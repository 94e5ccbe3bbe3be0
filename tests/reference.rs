//! The reference page and the JSON Schema of the manifest language, compared with the language itself.
//!
//! To accept an intended change: `IXT_UPDATE_GOLDEN=1 cargo test -p ixt-tests --test reference`, then read the diff.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use boon::{Compiler, Schemas};
use ixt_manifest::language::{self, TableSpec, ValueSpec};
use ixt_manifest::{ChangeRule, Code, Manifest, Scalar, Severity, Shape, Source, TypeKind};
use ixt_tests::{build, workspace};
use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

/// Where the generated part of the page begins.
const MARK: &str =
    "<!-- From here on this page is generated from the language's own tables: see tests/reference.rs. -->\n";

fn page() -> PathBuf {
    workspace().join("build-support/manifest/REFERENCE.md")
}

/// Compares a file with its expected text. With `IXT_UPDATE_GOLDEN` in the environment, it is written first.
fn compare(path: &Path, expected: &str) {
    if std::env::var_os("IXT_UPDATE_GOLDEN").is_some() {
        fs::write(path, expected).unwrap();
    }
    let actual = fs::read_to_string(path).unwrap_or_default();
    assert!(actual == expected, "{} is out of date: IXT_UPDATE_GOLDEN=1, see tests/reference.rs", path.display());
}

fn kind(kind: &ValueSpec) -> String {
    match kind {
        ValueSpec::Boolean => "boolean".to_owned(),
        ValueSpec::Text => "text".to_owned(),
        ValueSpec::Choice(values) => {
            values.iter().map(|value| format!("`\"{value}\"`")).collect::<Vec<_>>().join(" or ")
        }
        ValueSpec::Texts | ValueSpec::Arguments => "array of texts".to_owned(),
        ValueSpec::Integer => "integer".to_owned(),
        ValueSpec::Number => "number".to_owned(),
        ValueSpec::Size => "size".to_owned(),
        ValueSpec::Duration => "duration".to_owned(),
        ValueSpec::Deprecated => "`true`, or text".to_owned(),
        ValueSpec::Value => "value of the type".to_owned(),
        ValueSpec::TypeText => "type".to_owned(),
        ValueSpec::Type(table) => format!("type, or {}", link(table)),
        ValueSpec::Table(table) => link(table),
        ValueSpec::Entries(of) => format!("table of {}", self::kind(of)),
        ValueSpec::Either(one, other) => format!("{}, or {}", self::kind(one), self::kind(other)),
        ValueSpec::Fields { long, .. } => format!("fields, or {}", link(long)),
    }
}

fn link(table: &TableSpec) -> String {
    // GitHub's anchor for a heading.
    let anchor: String = table
        .title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect();
    format!("[{}](#{anchor})", table.title.replace('[', "\\[").replace(']', "\\]"))
}

#[test]
fn the_reference_page_has_all_of_the_language() {
    let text = fs::read_to_string(page()).unwrap();
    let prose = text.split_once(MARK).map_or(text.as_str(), |(prose, _)| prose);
    let mut expected = format!("{prose}{MARK}");
    for table in language::tables() {
        let heading = if table.title.starts_with('[') { format!("`{}`", table.title) } else { table.title.to_owned() };
        write!(expected, "\n## {heading}\n\n{}\n\n", table.description).unwrap();
        expected.push_str("| key | value | | example |\n| --- | --- | --- | --- |\n");
        for key in table.keys {
            let required = if key.required { " Required." } else { "" };
            writeln!(
                expected,
                "| `{}` | {} | {}{required} | `{} = {}` |",
                key.name,
                kind(&key.kind),
                key.description,
                key.name,
                key.example.replace('|', "\\|")
            )
            .unwrap();
        }
    }
    for (severity, heading) in [(Severity::Error, "Errors"), (Severity::Warning, "Warnings")] {
        write!(expected, "\n## {heading}\n\n| code | |\n| --- | --- |\n").unwrap();
        for code in Code::ALL.iter().filter(|code| code.severity() == severity) {
            writeln!(expected, "| `{code}` | {} |", code.summary()).unwrap();
        }
    }
    for (severity, heading) in [
        (Severity::Breaking, "Breaking changes"),
        (Severity::Note, "Changes to note"),
        (Severity::Compatible, "Compatible changes"),
    ] {
        write!(expected, "\n## {heading}\n\n| rule | |\n| --- | --- |\n").unwrap();
        for rule in ChangeRule::ALL.iter().filter(|rule| rule.severity() == severity) {
            writeln!(expected, "| `{rule}` | {} |", rule.summary()).unwrap();
        }
    }
    compare(&page(), &expected);
}

#[test]
fn every_scalar_is_explained_and_compiled() {
    let page = fs::read_to_string(page()).unwrap();
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let protocol = fs::read_to_string(workspace().join("sdk/protocol/PROTOCOL.md")).unwrap();
    let source = Source::read(workspace().join("manifests/valid/scalars.toml")).unwrap();
    let manifest = Manifest::parse(&source).unwrap_or_else(|report| panic!("{report}"));
    let Shape::Record(fields) = &manifest.types[0].shape else { panic!("not a record") };
    for scalar in Scalar::ALL {
        let name = scalar.name();
        assert!(page.contains(&format!("\n| `{name}` | ")), "REFERENCE.md has no row for `{name}` in \"Types\"");
        assert!(readme.contains(&format!("`{name}`")), "README.md does not name the type `{name}`");
        // The other types are what JSON calls so.
        if !matches!(scalar, Scalar::String | Scalar::Float | Scalar::Boolean) {
            let row = format!("\n| `{name}` | ");
            assert!(protocol.contains(&row), "PROTOCOL.md has no row for `{name}` in \"Payload\"");
        }
        for (place, fields) in [("[config]", &manifest.config), ("[types.All]", fields)] {
            let mut found: Vec<_> = fields
                .iter()
                .filter(|field| field.ty.kind == TypeKind::Scalar(*scalar) && !field.secret)
                .map(|field| (field.is_required(), field.default.is_some()))
                .collect();
            found.sort_unstable();
            let expected = [(false, false), (false, true), (true, false)];
            assert_eq!(found, expected, "`{name}` in {place} of scalars.toml: optional, with a default, and required");
        }
        let secrets = manifest.config.iter().filter(|key| key.ty.kind == TypeKind::Scalar(*scalar) && key.secret);
        let mut found: Vec<_> = secrets.map(|key| key.default.is_some()).collect();
        found.sort_unstable();
        let expected: &[bool] = if scalar.can_be_secret() { &[false, true] } else { &[] };
        assert_eq!(found, expected, "secret `{name}` in [config] of scalars.toml: without and with a default");
    }
}

#[test]
fn for_every_scalar_there_is_an_invalid_default() {
    let mut types = Vec::new();
    for name in ["defaults", "default-values"] {
        let source = Source::read(workspace().join(format!("manifests/invalid/{name}.toml"))).unwrap();
        let report = Manifest::parse(&source).unwrap_err();
        let diagnostics = report.diagnostics().iter();
        let invalid = diagnostics.filter(|diagnostic| diagnostic.code() == Code::InvalidDefault.as_str());
        // The related place is where the type is declared.
        let declared = invalid.flat_map(ixt_manifest::Diagnostic::related_places);
        types.extend(declared.map(|place| source.text()[place.span()].to_owned()));
    }
    for scalar in Scalar::ALL {
        let ty = format!("\"{}\"", scalar.name());
        assert!(types.contains(&ty), "default-values.toml in manifests/invalid has no wrong default of the type {ty}");
    }
}

/// Notes which keys of the language a value has: the title of the table, and the key.
fn note_keys(value: &DeValue<'_>, kind: &ValueSpec, found: &mut BTreeSet<(&str, &str)>) {
    match (kind, value) {
        (ValueSpec::Table(spec) | ValueSpec::Type(spec), DeValue::Table(table)) => {
            for key in spec.keys {
                if let Some(value) = table.get(key.name) {
                    found.insert((spec.title, key.name));
                    note_keys(value.get_ref(), &key.kind, found);
                }
            }
        }
        (ValueSpec::Entries(kind), DeValue::Table(table)) => {
            table.values().for_each(|value| note_keys(value.get_ref(), kind, found));
        }
        (ValueSpec::Either(one, other), _) => {
            note_keys(value, one, found);
            note_keys(value, other, found);
        }
        (ValueSpec::Fields { field, long }, DeValue::Table(table)) => {
            let is_long = ["fields", "enum", "union", "newtype"]
                .iter()
                .any(|key| table.get(*key).is_some_and(|value| !value.get_ref().is_str()));
            let kind = if is_long { &ValueSpec::Table(long) } else { &ValueSpec::Entries(field) };
            note_keys(value, kind, found);
        }
        // Values without keys, such as the short form of a type.
        (
            ValueSpec::Table(_)
            | ValueSpec::Type(_)
            | ValueSpec::Entries(_)
            | ValueSpec::Fields { .. }
            | ValueSpec::Boolean
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
            | ValueSpec::TypeText,
            _,
        ) => {}
    }
}

#[test]
fn the_valid_manifests_have_every_key_of_the_language() {
    let mut found = BTreeSet::new();
    for (_, text) in manifests("valid") {
        let document = DeTable::parse(&text).unwrap();
        note_keys(&DeValue::Table(document.into_inner()), &ValueSpec::Table(language::root()), &mut found);
    }
    let keys = language::tables().iter().flat_map(|table| table.keys.iter().map(|key| (table.title, key.name)));
    let missing: Vec<_> = keys.filter(|key| !found.contains(key)).collect();
    assert!(missing.is_empty(), "no manifest in manifests/valid has these keys: {missing:#?}");
}

#[test]
fn every_example_of_a_key_is_toml() {
    for table in language::tables() {
        for key in table.keys {
            let text = format!("{} = {}", key.name, key.example);
            assert!(DeTable::parse(&text).is_ok(), "{}: {text}", table.title);
        }
    }
}

#[test]
fn the_reference_pages_manifests_are_valid() {
    let text = fs::read_to_string(page()).unwrap();
    let boxes: Vec<_> = text.split("\n```").filter_map(|text| text.strip_prefix("toml\n")).collect();
    assert!(boxes.len() >= 5, "the page has examples");
    for manifest in boxes {
        let head = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n";
        let whole = if manifest.contains("schema_version") { manifest.to_owned() } else { format!("{head}{manifest}") };
        if let Err(report) = Manifest::parse(&Source::new("REFERENCE.md", whole)) {
            panic!("{report}");
        }
    }
}

/// A TOML value as the JSON that an editor checks against the schema.
fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(json!(1e30), |integer| json!(integer))
        }
        DeValue::Float(float) => json!(float.as_str().parse::<f64>().unwrap()),
        DeValue::Boolean(boolean) => json!(boolean),
        DeValue::Datetime(datetime) => json!(datetime.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(entries(table)),
    }
}

fn entries(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect()
}

fn manifests(kind: &str) -> Vec<(String, String)> {
    let dir = fs::read_dir(workspace().join("manifests").join(kind)).unwrap();
    let read = |path: PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        (path.display().to_string(), text)
    };
    dir.map(|file| read(file.unwrap().path())).collect()
}

#[test]
fn the_json_schema_is_the_published_one_and_accepts_every_valid_manifest() {
    let output = Command::new(build("ixt")).arg("schema").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    compare(&workspace().join("build-support/manifest/manifest.schema.json"), &text);

    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut compiler = Compiler::new();
    compiler.add_resource("manifest.schema.json", schema).unwrap();
    let mut schemas = Schemas::new();
    // Fails if the schema is not valid itself, by the draft that it names.
    let schema = compiler.compile("manifest.schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    for (path, text) in manifests("valid").into_iter().chain(manifests("suspicious")) {
        let manifest = Value::Object(entries(DeTable::parse(&text).unwrap().get_ref()));
        if let Err(error) = schemas.validate(&manifest, schema) {
            panic!("{path}: {error:#}");
        }
    }
    let mut caught = Vec::new();
    for (path, text) in manifests("invalid") {
        // An editor can show mistakes in the form of a manifest, but not in its meaning.
        let Ok(document) = DeTable::parse(&text) else { continue };
        let manifest = Value::Object(entries(document.get_ref()));
        let Err(report) = Manifest::parse(&Source::new(path.as_str(), text.as_str())) else { continue };
        let formal = [Code::UnknownKey, Code::WrongKind, Code::SchemaVersion].map(Code::as_str);
        if report.diagnostics().iter().any(|diagnostic| formal.contains(&diagnostic.code())) {
            assert!(schemas.validate(&manifest, schema).is_err(), "the schema accepts {path}:\n{report}");
            caught.push(path);
        }
    }
    assert!(caught.len() >= 10, "{caught:?}");
}
