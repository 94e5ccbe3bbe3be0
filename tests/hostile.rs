//! Absurd and malicious manifests: each leads to a report or to code, and none to a panic or an overflow of the stack.

use std::fmt::Write as _;

use ixt_build::{Generated, Options, Report, Source};

const HEAD: &str = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n";

fn generate(text: &str) -> Result<Generated, Report> {
    ixt_build::generate(&Source::new("manifest.toml", text), &Options::default())
}

fn code(text: &str) -> String {
    generate(text).unwrap_or_else(|report| panic!("{report}")).code
}

fn codes(text: &str) -> Vec<&'static str> {
    let report = generate(text).expect_err("this manifest is wrong");
    // Drawing it is part of what must not fail.
    assert!(!report.to_string().is_empty() && !report.to_ansi_string().is_empty());
    report.diagnostics().iter().map(ixt_build::Diagnostic::code).collect()
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_change_nothing() {
    let text = format!("{HEAD}description = \"two\\nlines\"\n[config]\na = {{ type = \"integer\", default = 1 }}\n");
    let expected = code(&text);
    assert_eq!(code(&format!("\u{feff}{text}")), expected);
    assert_eq!(code(&text.replace('\n', "\r\n")), expected);
    let wrong = text.replace("integer", "intger").replace('\n', "\r\n");
    let report = generate(&format!("\u{feff}{wrong}")).unwrap_err().to_string();
    assert!(report.contains("manifest.toml:7:14") && report.contains("did you mean `integer`?"), "{report}");
}

#[test]
fn control_characters_are_no_toml() {
    for wrong in ["\0", "a = 1\rb = 2", "\u{1}", "name = \"a\0b\"", "# \u{7f}"] {
        assert_eq!(codes(&format!("{HEAD}{wrong}\n"))[0], "syntax", "{wrong:?}");
    }
}

#[test]
fn what_is_no_file_with_text_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("latin1.toml"), b"name = \"gr\xfc\xdfe\"\n").unwrap();
    // Unreadable also for root, to whom permissions say nothing.
    std::os::unix::fs::symlink("loop.toml", path("loop.toml")).unwrap();
    for (path, reason) in [
        (dir.path().to_owned(), "Is a directory"),
        (path("loop.toml"), "Too many levels of symbolic links"),
        (path("nothing.toml"), "No such file or directory"),
        (path("latin1.toml/manifest.toml"), "Not a directory"),
        (path("latin1.toml"), "it is not UTF-8: the first wrong byte is in line 1; save the file as UTF-8"),
    ] {
        let report = Source::read(&path).unwrap_err().to_string();
        assert!(report.starts_with("error[unreadable]: can't read `") && report.contains(reason), "{report}");
    }
    assert_eq!(codes(""), ["missing-key", "missing-key"]);
}

#[test]
fn a_megabyte_of_text_stays_text() {
    let text = "*/ \\\\ ``` ]] <b> \\\"#\\\" 漢字 ".repeat(50_000);
    let manifest =
        format!("{HEAD}[config]\na = {{ type = \"string\", default = \"{text}\", description = \"{text}\" }}\n");
    assert!(manifest.len() > 2 << 20);
    let code = code(&manifest);
    // Only in literals and doc lines.
    assert!(syn::parse_file(&code).is_ok());
    assert!(code.lines().all(|line| !line.starts_with("*/")));
    // A mistake beside it is drawn without all of it.
    let report = generate(&manifest.replacen("\"string\"", "\"strin\"", 1)).unwrap_err().to_string();
    assert!(report.len() < 2000, "{} bytes", report.len());
}

#[test]
fn a_name_of_a_megabyte_is_a_name() {
    let name = "a".repeat(1 << 20);
    let report = generate(&format!("{HEAD}[config]\n{name} = {{ typ = \"string\" }}\n{name}x = 5\n")).unwrap_err();
    assert!(report.to_string().contains("did you mean `type`?"));
}

#[test]
fn deep_nesting_ends_in_a_report() {
    let depth = 10_000;
    for deep in [
        format!("a = {}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("a = {}1{}", "{ a = ".repeat(depth), " }".repeat(depth)),
        format!("[{}]", vec!["a"; depth].join(".")),
        format!("[config]\na = {{ type = \"{}string{}\" }}", "[".repeat(depth), "]".repeat(depth)),
        format!("[config]\na = {{ type = \"{}\" }}", "?".repeat(depth)),
        format!("[config]\na = {}\"string\"{}", "{ type = \"list\", items = ".repeat(depth), " }".repeat(depth)),
    ] {
        assert!(!codes(&format!("{HEAD}{deep}\n")).is_empty());
    }
}

#[test]
fn a_chain_of_thousands_of_types_is_generated_and_a_circle_of_them_is_refused() {
    let count = 2_000;
    let mut chain = format!("{HEAD}[provides]\nservices = [\"s\"]\n[services.s]\nrequest = \"T0\"\n");
    for index in 0..count {
        let next = (index + 1) % (count + 1);
        write!(chain, "[types.T{index}]\nnext = \"T{next}\"\n").unwrap();
    }
    let chained = format!("{chain}[types.T{count}]\nx = \"float\"\n");
    let generated = generate(&chained).unwrap();
    assert!(generated.warnings.is_empty());
    let derives = "#[derive(Clone, Copy, Debug, PartialEq)]\npub struct T0 {";
    assert!(generated.code.contains(derives), "the float at the end counts at the start");
    assert_eq!(codes(&format!("{chain}[types.T{count}]\nnext = \"T0\"\n")), ["infinite-type"]);
}

#[test]
fn thousands_of_keys_and_topics_are_generated() {
    let count = 5_000;
    let topics: Vec<_> = (0..count).map(|index| format!("\"group{}.topic{index}\"", index / 50)).collect();
    let mut manifest = format!("{HEAD}[provides]\nservices = [{}]\n[config]\n", topics.join(", "));
    for index in 0..count {
        writeln!(manifest, "key_{index} = {{ type = \"integer\", default = {index} }}").unwrap();
    }
    let code = code(&manifest);
    assert_eq!(code.matches("pub key_").count(), count);
    assert_eq!(code.matches("<H as Handler>::group").count(), count);
}

#[test]
fn thousands_of_mistakes_are_all_told() {
    let count = 500;
    let mut manifest = format!("{HEAD}[config]\n");
    for index in 0..count {
        writeln!(manifest, "key_{index} = {{ tpye = \"strnig\", type = \"strnig\" }}").unwrap();
    }
    let report = generate(&manifest).unwrap_err();
    assert_eq!(report.diagnostics().len(), 2 * count);
    assert_eq!(report.to_string().matches("did you mean `string`?").count(), count);
}

#[test]
fn no_name_breaks_out_of_the_code() {
    for name in ["_", "__", "-", "--", "a b", "größe", "a\\u0000", "a\\\"", "*/", "a;b", "r#a", "1a", "'", "a::b"] {
        let quoted = format!("\"{name}\"");
        for place in [
            format!("[config]\n{quoted} = {{ type = \"string\" }}"),
            format!("[types.{quoted}]\nx = \"string\""),
            format!("[types.T]\n{quoted} = \"string\""),
            format!("[types.T.union]\n{quoted} = {{}}"),
            format!("[provides]\nservices = [{quoted}]"),
            format!("[provides]\nevents = [{quoted}]"),
            format!("[requires]\nservices = [{quoted}]"),
        ] {
            assert_eq!(codes(&format!("{HEAD}{place}\n")), ["invalid-name"], "{place}");
        }
    }
}

#[test]
fn the_same_manifest_gives_the_same_code_anywhere() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/valid/types.toml")).unwrap();
    let in_dir = |dir: &str| {
        let source = Source::new(format!("{dir}/manifest.toml"), text.as_str());
        ixt_build::generate(&source, &Options::default()).unwrap().code
    };
    assert_eq!(in_dir("/home/ada/orders"), in_dir("."));
    assert!(!in_dir("/home/ada/orders").contains("/home/ada"));
}
