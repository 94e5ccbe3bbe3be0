//! Random manifests: the code for each that is valid parses and does not depend on the order of its keys; and a sample of that code
//! compiles without warnings.

use std::fmt::Write as _;

use ixt_build::{Options, Source, generate};
use ixt_manifest::Scalar;
use ixt_tests::Scratch;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Names that mean something in Rust, in serde, in the generated code or in the SDK.
const NAMES: [&str; 28] = [
    "a",
    "type",
    "self",
    "fn",
    "Option",
    "String",
    "Result",
    "Box",
    "Vec",
    "Some",
    "None",
    "Ok",
    "value",
    "reader",
    "writer",
    "fields",
    "index",
    "key-1",
    "camelCase",
    "SHOUT",
    "x2",
    "config",
    "topic",
    "handler",
    "init",
    "error",
    "unknown",
    "all",
];

fn name() -> impl Strategy<Value = String> {
    // With a number at the end, two are rarely the same.
    (select(&NAMES[..]), 0..50_u8)
        .prop_map(|(name, number)| if number < 10 { name.to_owned() } else { format!("{name}{number}") })
}

/// The text of a type, in its short form.
fn short_type() -> impl Strategy<Value = String> {
    // A point in time needs a feature of the SDK that the sample does not turn on.
    let scalars = Scalar::ALL.iter().filter(|scalar| **scalar != Scalar::Datetime).map(|scalar| scalar.name());
    let plain = select(scalars.chain(["T0", "T1", "T2", "T3", "T4", "T5"]).collect::<Vec<_>>());
    let plain = plain.prop_map(str::to_owned);
    plain.prop_recursive(3, 6, 1, |inner| {
        (inner, 0..4_u8).prop_map(|(inner, how)| match how {
            0 => format!("[{inner}]"),
            1 => format!("{{{inner}}}"),
            _ if inner.ends_with('?') => inner,
            _ => format!("{inner}?"),
        })
    })
}

/// A TOML string: a JSON string, except that DEL has to be escaped.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

/// A field: its type as a string, or a table.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => short_type().prop_map(|ty| format!("\"{ty}\"")),
        1 => (-9..0_i64, 0..9_i64).prop_map(|(min, max)| format!("{{ type = \"integer\", min = {min}, max = {max}, default = 0 }}")),
        1 => ".{0,12}".prop_map(|text| format!("{{ type = \"string?\", description = {} }}", quoted(&text))),
        1 => select(vec![
            "{ type = \"string\", enum = [\"x\", \"y z\", \"1\"], default = \"1\" }",
            "{ type = \"string\", min_length = 1, max_length = 9, default = \"\\u0000\" }",
            "{ type = \"bytes\", default = \"AAE=\" }",
            "{ type = \"duration\", default = \"1s 7ns\", min = \"1ns\" }",
            "{ type = \"size\", default = \"1MiB\", max = \"1GiB\" }",
            "{ type = \"float\", default = -0.0, min = -1 }",
            "{ type = \"integer\", default = -9223372036854775808 }",
            "{ type = \"boolean\", default = true, deprecated = \"no\" }",
            "{ type = \"list\", items = { type = \"string\", max_length = 3 }, default = [\"a\"] }",
            "{ type = \"map\", values = \"integer\", default = { a = 1 }, min_length = 1 }",
            "{ type = \"table\", fields = { a = \"T0?\", b = { type = \"path\", default = \"/\" } }, optional = true }",
        ])
        .prop_map(str::to_owned),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    proptest::collection::btree_map(name(), field(), 0..6).prop_map(|fields| {
        fields.iter().map(|(name, field)| format!("{name} = {field}")).collect::<Vec<_>>().join(", ")
    })
}

/// A type of `[types]`.
fn definition() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => fields().prop_map(|fields| format!("{{ fields = {{ {fields} }} }}")),
        1 => (proptest::collection::btree_set(name(), 1..5), any::<bool>())
            .prop_map(|(names, open)| format!("{{ enum = {:?}, open = {open} }}", Vec::from_iter(names))),
        1 => (proptest::collection::btree_map(name(), fields(), 1..4), any::<bool>()).prop_map(|(cases, open)| {
            let cases: Vec<_> = cases.iter().map(|(name, fields)| format!("{name} = {{ {fields} }}")).collect();
            format!("{{ union = {{ {} }}, open = {open} }}", cases.join(", "))
        }),
        1 => short_type().prop_map(|ty| format!("\"{}\"", ty.trim_end_matches('?'))),
    ]
}

/// `[artifacts.process]` and `[env]`, which have no effect on the code.
fn process() -> impl Strategy<Value = String> {
    let texts = || proptest::collection::vec(".{0,12}".prop_map(|text| quoted(&text)), 0..4);
    let variables = proptest::collection::btree_map("[A-Z_]{1,3}", ".{0,12}".prop_map(|text| quoted(&text)), 0..3);
    (texts(), any::<Option<bool>>(), 1..86_400_u32, variables).prop_map(|(args, overlap, seconds, variables)| {
        let set: Vec<_> = variables.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let overlap = overlap.map(|overlap| format!("overlap = {overlap}\n")).unwrap_or_default();
        format!(
            "[artifacts.process]\nargs = [{}]\nconnect_timeout = \"{seconds}s\"\n{overlap}[env]\nset = {{ {} }}\n",
            args.join(", "),
            set.join(", ")
        )
    })
}

/// The sections of a manifest.
fn sections() -> impl Strategy<Value = Vec<String>> {
    let message = || {
        prop_oneof![
            Just(None),
            (0..6_u8).prop_map(|number| Some(format!("\"T{number}\""))),
            fields().prop_map(|fields| Some(format!("{{ {fields} }}")))
        ]
    };
    let service = (message(), message(), any::<bool>());
    let config = proptest::collection::btree_map(name(), short_type(), 0..5);
    let types = proptest::collection::vec(definition(), 6);
    let services = proptest::collection::btree_map(name(), service, 0..5);
    let events = proptest::collection::btree_map(name(), message(), 0..3);
    (config, types, services, events, process()).prop_map(|(config, types, services, events, process)| {
        let mut sections = vec!["[module]\nname = \"m\"\nversion = \"1.0.0\"\n".to_owned(), process];
        let listed =
            |topics: Vec<&String>| topics.iter().map(|topic| format!("\"s.{topic}\"")).collect::<Vec<_>>().join(", ");
        let topics = listed(services.keys().collect());
        let event_topics = listed(events.keys().collect());
        sections.push(format!("[provides]\nservices = [{topics}]\nevents = [{event_topics}]\n"));
        sections.push(format!("[requires]\nservices = [{topics}]\nevents = [{event_topics}]\n"));
        for (key, ty) in config {
            sections.push(format!("[config.{key}]\ntype = \"{ty}\"\n"));
        }
        for (number, definition) in types.iter().enumerate() {
            sections.push(format!("[types]\nT{number} = {definition}\n"));
        }
        for (topic, (request, response, blocking)) in &services {
            let mut section = format!("[services.\"s.{topic}\"]\nblocking = {blocking}\n");
            for (role, message) in [("request", request), ("response", response)] {
                if let Some(message) = message {
                    writeln!(section, "{role} = {message}").unwrap();
                }
            }
            sections.push(section);
        }
        for (topic, payload) in &events {
            if let Some(payload) = payload {
                sections.push(format!("[events.\"s.{topic}\"]\npayload = {payload}\n"));
            }
        }
        sections
    })
}

/// One TOML document of the sections. Those of `[types]` become one table.
fn document(sections: &[String]) -> String {
    let (types, others): (Vec<_>, Vec<_>) = sections.iter().partition(|section| section.starts_with("[types]\n"));
    let types: String = types.iter().map(|section| section.trim_start_matches("[types]\n")).collect();
    let others: String = others.iter().map(|section| section.as_str()).collect();
    format!("schema_version = \"3.0\"\n{others}[types]\n{types}")
}

fn code(text: &str) -> Option<String> {
    generate(&Source::new("manifest.toml", text), &Options::default()).ok().map(|generated| generated.code)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_code_for_a_valid_manifest_parses_and_the_order_of_keys_makes_no_difference(sections in sections(), seed in any::<u64>()) {
        let text = document(&sections);
        match generate(&Source::new("manifest.toml", &*text), &Options::default()) {
            Err(report) => prop_assert!(!report.to_string().is_empty()),
            Ok(generated) => {
                prop_assert!(syn::parse_file(&generated.code).is_ok(), "{}", text);
                let mut shuffled = sections;
                let mut state = seed;
                for index in (1..shuffled.len()).rev() {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
                }
                prop_assert_eq!(code(&document(&shuffled)), Some(generated.code));
            }
        }
    }
}

#[test]
fn a_sample_of_the_code_compiles_without_a_warning() {
    let mut runner = TestRunner::deterministic();
    let sections = sections();
    let mut main = String::from("#![deny(warnings, missing_docs)]\n//! Samples.\nfn main() {}\n");
    let minimal = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n";
    let scratch = Scratch::new("samples", minimal, "");
    let mut made = 0;
    while made < 24 {
        let text = document(&sections.new_tree(&mut runner).unwrap().current());
        // Larger ones show more.
        if let Some(code) = code(&text).filter(|_| text.len() > 1_500) {
            scratch.write(&format!("src/sample_{made}.rs"), &code);
            scratch.write(&format!("sample_{made}.toml"), &text);
            writeln!(main, "/// A sample.\npub mod sample_{made} {{\n    include!(\"sample_{made}.rs\");\n}}").unwrap();
            made += 1;
        }
    }
    scratch.write("src/main.rs", &main);
    let output = scratch.cargo("build");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
