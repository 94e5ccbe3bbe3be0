//! What holds for the workspace as a whole.

use std::process::Command;

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

/// Each package that is compiled for these, with the features that are turned on.
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
