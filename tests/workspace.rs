//! Checks of the workspace as a whole: features, versions, copied files, and pages that name files.

use std::fs;
use std::path::Path;
use std::process::Command;

use ixt_manifest::language::BUILT_IN_ERROR_CODES;
use ixt_tests::workspace;
use serde_json::Value;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--locked", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each package that is compiled for these packages, with the features that are turned on.
fn features(packages: &[&str]) -> Vec<String> {
    let edges = "normal,build,dev";
    let tree = cargo(&[&["tree", "--edges", edges, "--format", "{p} [{f}]", "--prefix", "none"], packages].concat());
    tree.lines().map(|line| line.trim_end_matches(" (*)").replace(" (proc-macro)", "")).collect()
}

#[test]
fn every_feature_that_a_member_turns_on_is_on_in_the_tests() {
    let all = features(&["--workspace"]);
    // The tests, and what the crates that tests write depend on.
    let alone = ["ixt-tests", "ixt-test-features"].map(|package| features(&["--package", package])).concat();
    let different: Vec<_> = alone
        .iter()
        .filter(|package| !all.contains(*package))
        .map(|package| {
            let name = package.split(" [").next().unwrap_or_default();
            let there: Vec<_> = all.iter().filter(|other| other.starts_with(&format!("{name} ["))).collect();
            format!("{package}\n    in the workspace: {there:?}")
        })
        .collect();
    assert!(
        different.is_empty(),
        "with these features, dependencies are compiled once for `cargo test` and again for `cargo test -p ixt-tests` and \
         for the crates that tests write; turn them on in tests/features/Cargo.toml:\n  {}",
        different.join("\n  ")
    );
}

#[test]
fn every_dependency_works_with_the_oldest_rust_that_is_promised() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).unwrap();
    // No patch release of Rust is promised.
    let version = |text: &str| text.split('.').take(2).map(|part| part.parse().unwrap()).collect::<Vec<u32>>();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "ixt-sdk").unwrap()["rust_version"].as_str().unwrap();
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| package["rust_version"].as_str().is_some_and(|its| version(its) > version(ours)))
        .map(|package| format!("{} {} needs {}", package["name"], package["version"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "the workspace promises Rust {ours}:\n  {}", newer.join("\n  "));
    assert!(packages.len() > 100, "it looks at the dependencies too");
}

fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of the build and those of the run time share no crate for these files, so each has a copy.
#[test]
fn the_sdk_suggests_names_and_reads_durations_as_the_manifest_does() {
    for (manifest, sdk) in [("suggest.rs", "suggest.rs"), ("duration.rs", "types/duration.rs")] {
        let [manifest, sdk] = [format!("build-support/manifest/src/{manifest}"), format!("sdk/module/src/{sdk}")];
        assert!(
            read(&manifest) == read(&sdk).replace("pub(crate) fn", "pub fn"),
            "{manifest} and {sdk} differ: copy one over the other, but for `pub` and `pub(crate)`"
        );
    }
}

/// The paths of the files in a folder, at any depth.
fn files(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace().join(dir)).unwrap_or_else(|error| panic!("{dir}: {error}")) {
        let entry = entry.unwrap();
        let path = format!("{dir}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The paths that a page names: those from the root; those in `src`, of the crate in bold before; and the ends of paths in the folder of
/// which a sentence before says "Files are in", up to the next heading. Of such an end that no file has, the path in that folder.
fn paths(page: &str) -> Vec<String> {
    let (mut crate_dir, mut folder, mut in_folder) = (String::new(), String::new(), Vec::new());
    let mut paths = Vec::new();
    for line in page.lines() {
        if line.starts_with("## ") {
            folder.clear();
        }
        if let Some((dir, _)) = line.split_once("Files are in `").and_then(|(_, line)| line.split_once('`')) {
            dir.clone_into(&mut folder);
            in_folder = files(dir);
        }
        if let Some((dir, _)) = line.strip_prefix("**`").and_then(|line| line.split_once("`**")) {
            dir.clone_into(&mut crate_dir);
        }
        for code in line.split('`').skip(1).step_by(2) {
            let is_path = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._*-".contains(c));
            let root = ["build-support/", "sdk/", "tests/", "manifests/", "examples/"];
            if is_path(code) && root.iter().any(|root| code.starts_with(root)) {
                paths.push(code.to_owned());
            } else if is_path(code) && code.starts_with("src/") && !crate_dir.is_empty() {
                paths.push(format!("{crate_dir}/{code}"));
            } else if is_path(code) && !folder.is_empty() && code.strip_suffix(".rs").is_some() {
                let found = in_folder.iter().find(|path| path.ends_with(&format!("/{code}")));
                paths.push(found.cloned().unwrap_or_else(|| format!("{folder}/{code}")));
            }
        }
    }
    paths
}

#[test]
fn pages_about_the_code_name_files_that_are_there() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let paths = paths(&read(page));
        assert!(paths.len() > 20, "{page} names {} paths", paths.len());
        for path in paths {
            // Of what is meant for several files, the folder.
            let path = path.split_once('*').map_or(path.as_str(), |(start, _)| start);
            // The example of a recipe.
            if !path.ends_with("pause.rs") {
                assert!(workspace().join(path).exists(), "{page} names {path}, which is not there");
            }
        }
    }
}

/// The codes in this column of those rows of a page's tables that begin like this, sorted.
fn codes_in(page: &str, row: &str, column: usize) -> Vec<String> {
    let page = read(page);
    let cells = page.lines().filter(|line| line.starts_with(row)).filter_map(|line| line.split(" | ").nth(column));
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_code = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let mut codes: Vec<_> = quoted.filter(is_code).map(str::to_owned).collect();
    codes.sort();
    codes
}

/// `sdk/protocol/src/code.rs` lists these places.
#[test]
fn every_place_of_the_error_codes_has_all_of_them() {
    // A code is a constant with its own name as value, wherever in the crate it is.
    fn codes(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes(&path, found);
                continue;
            }
            found.extend(read(&path).lines().filter_map(|line| {
                let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": &str = ")?;
                (value == format!("\"{name}\";")).then(|| name.to_owned())
            }));
        }
    }
    let mut protocol = Vec::new();
    codes(&workspace().join("sdk/protocol/src"), &mut protocol);
    protocol.sort();
    assert_eq!(protocol, BUILT_IN_ERROR_CODES, "left: ixt-protocol; right: `BUILT_IN_ERROR_CODES` of ixt-manifest");
    let page = codes_in("sdk/protocol/PROTOCOL.md", "| `", 0);
    assert_eq!(protocol, page, "left: ixt-protocol; right: the table in \"Errors\" of PROTOCOL.md");
    let page = codes_in("sdk/host/HOST.md", "| `answered` |", 3);
    assert_eq!(protocol, page, "left: ixt-protocol; right: the levels of `answered` in HOST.md, \"Logs\"");
}
