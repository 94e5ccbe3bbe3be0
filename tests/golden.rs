//! The code for each manifest in `manifests/valid/`, and the reports on those in `manifests/invalid/` and `manifests/suspicious/`, compared
//! with the files in `tests/golden/`.
//!
//! To accept an intended change: `IXT_UPDATE_GOLDEN=1 cargo test -p ixt-build --test golden`, then read the diff.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ixt_build::{Code, Generated, Options, Report, Source};
use similar::TextDiff;

/// The root of the workspace. This is a test of the package `ixt-build`.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The names of the files in a directory, which all have this ending, without it.
fn names(dir: &Path, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    files
        .map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(ending)
                .unwrap_or_else(|| panic!("{} does not belong here", dir.join(&name).display()))
                .into()
        })
        .collect()
}

fn generate(manifest: &Path) -> Result<Generated, Report> {
    ixt_build::generate(&Source::read(manifest)?, &Options::default())
}

/// Compares what `make` returns for each manifest in the folder `manifests` with the file of that name in the folder `golden`.
fn compare(manifests: &str, golden: &str, ending: &str, make: impl Fn(&Path) -> String) {
    let (manifests, golden) = (Path::new("manifests").join(manifests), workspace().join("tests/golden").join(golden));
    let update = std::env::var_os("IXT_UPDATE_GOLDEN").is_some();
    // Reports show paths relative to the workspace.
    std::env::set_current_dir(workspace()).unwrap();
    let cases = names(&workspace().join(&manifests), ".toml");
    let mut failures = Vec::new();
    for case in &cases {
        let manifest = manifests.join(format!("{case}.toml"));
        let actual = make(&manifest);
        let path = golden.join(format!("{case}{ending}"));
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if actual != expected {
            if update {
                fs::write(&path, &actual).unwrap();
            } else {
                let diff = TextDiff::from_lines(&expected, &actual);
                failures.push(format!("{}", diff.unified_diff().header(&path.display().to_string(), "now")));
            }
        }
    }
    let orphans: Vec<PathBuf> =
        names(&golden, ending).difference(&cases).map(|name| golden.join(format!("{name}{ending}"))).collect();
    assert!(orphans.is_empty(), "no manifest makes these; delete them: {orphans:?}");
    assert!(failures.is_empty(), "{}\nIf this is meant: IXT_UPDATE_GOLDEN=1, see tests/golden.rs", failures.join("\n"));
}

#[test]
fn valid_manifests_give_the_expected_code() {
    compare("valid", "code", ".rs", |manifest| {
        let Generated { code, .. } = generate(manifest).unwrap_or_else(|report| panic!("{report}"));
        code
    });
}

#[test]
fn invalid_manifests_give_the_expected_diagnostics() {
    compare("invalid", "diagnostics", ".txt", |manifest| match generate(manifest) {
        Ok(_) => panic!("{} is valid", manifest.display()),
        Err(report) => report.to_string(),
    });
}

#[test]
fn suspicious_manifests_give_the_expected_warnings() {
    compare("suspicious", "warnings", ".txt", |manifest| {
        let Generated { warnings, .. } = generate(manifest).unwrap_or_else(|report| panic!("{report}"));
        assert!(!warnings.is_empty(), "{} is not suspicious", manifest.display());
        warnings.to_string()
    });
}

#[test]
fn there_is_a_manifest_for_every_diagnostic() {
    let mut shown = String::new();
    for golden in ["diagnostics", "warnings"] {
        for name in names(&workspace().join("tests/golden").join(golden), ".txt") {
            let path = workspace().join("tests/golden").join(golden).join(format!("{name}.txt"));
            shown.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    // Options are not part of a manifest; the unit tests of `options` have them.
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| **code != Code::InvalidOption && !shown.contains(&format!("[{code}]: ")))
        .collect();
    assert!(missing.is_empty(), "no manifest in manifests/ shows {missing:?}");
}

#[test]
fn every_golden_file_is_compiled() {
    let lib = fs::read_to_string(workspace().join("tests/golden/lib.rs")).unwrap();
    for name in names(&workspace().join("tests/golden/code"), ".rs") {
        assert!(lib.contains(&format!("include!(\"code/{name}.rs\");")), "tests/golden/lib.rs does not include {name}");
    }
}

#[test]
fn the_order_of_keys_makes_no_difference() {
    let sorted = r#"
        schema_version = "3.0"
        [config]
        a = { type = "string", default = "x" }
        b = { type = "integer" }
        [module]
        name = "m"
        version = "1.0.0"
        [provides]
        services = ["s.one", "s.two"]
        [services."s.one"]
        request = { x = "integer", y = "T" }
        [types.T]
        u = "string"
        v = "U"
        [types.U]
    "#;
    let shuffled = r#"
        schema_version = "3.0"
        types.U = {}
        [types.T]
        v = "U"
        u = "string"
        [services."s.one"]
        request = { y = "T", x = "integer" }
        [provides]
        services = ["s.two", "s.one"]
        [module]
        version = "1.0.0"
        name = "m"
        [config]
        b = { type = "integer" }
        a = { default = "x", type = "string" }
    "#;
    let code = |text: &str| ixt_build::generate(&Source::new("manifest.toml", text), &Options::default()).unwrap().code;
    assert_eq!(code(sorted), code(shuffled));
}

#[test]
fn the_examples_manifest_is_the_one_that_is_tested() {
    let example = fs::read_to_string(workspace().join("examples/orders/manifest.toml")).unwrap();
    assert_eq!(example, fs::read_to_string(workspace().join("manifests/valid/orders.toml")).unwrap());
}

#[test]
fn the_manifests_of_the_quick_starts_are_here_as_printed() {
    for (language, url) in [("python", "sqlite:///data.db"), ("nodejs", "sqlite://data.db")] {
        let text = fs::read_to_string(workspace().join(format!("manifests/valid/{language}-quickstart.toml"))).unwrap();
        let printed = [
            "# manifest.toml",
            "schema_version = \"3.0\"",
            "[module]",
            "name = \"my-module\"",
            "version = \"1.0.0\"",
            "description = \"My IXT module\"",
            "author = \"Your Name\"",
            "license = \"MIT\"",
            "runtime_targets = [\"Process\"]",
            "[provides]",
            "services = [\"my.service.process\", \"my.service.query\"]",
            "[config]",
            &format!("database_url = {{ type = \"string\", default = \"{url}\" }}"),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), printed);
    }
}

#[test]
fn imported_modules_have_different_names_in_rust() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, name: &str, rest: &str| {
        let head = format!("schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
        fs::write(dir.path().join(file), head + rest).unwrap();
    };
    let provides = |topic: &str| {
        format!("[provides]\nservices = [\"{topic}\"]\n[services.\"{topic}\"]\nrequest = {{ a = \"string\" }}\n")
    };
    write("dotted.toml", "a.b", &provides("x.one"));
    write("joined.toml", "a_b", &provides("x.two"));
    write("sign.toml", "+", &provides("x.three"));
    let requires = "[requires]\nservices = [\"x.one\", \"x.two\", \"x.three\"]\n[requires.from]\n\
                    \"x.one\" = \"dotted.toml\"\n\"x.two\" = \"joined.toml\"\n\"x.three\" = \"sign.toml\"\n";
    write("manifest.toml", "m", requires);
    let source = Source::read(dir.path().join("manifest.toml")).unwrap();
    let report = ixt_build::generate(&source, &Options::default()).unwrap_err().to_string();
    for says in [
        "`a.b` and `a_b` both become `a_b`, as a module of `client`",
        "the module name `+` has no letter or digit to make a Rust name of",
    ] {
        assert!(report.contains(says), "{says}: {report}");
    }
}
