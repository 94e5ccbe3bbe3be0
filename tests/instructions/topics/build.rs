//! Generates the modules' code from manifests that are made here.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    generate("few_topics", 10);
    if env::var_os("CARGO_CFG_MANY_TOPICS").is_some() {
        generate("many_topics", 10_000);
    }
}

/// Generates a module with this number of services, of which only the first is called.
fn generate(name: &str, services: usize) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let topics: Vec<_> = (0..services).map(topic).collect();
    let mut manifest = format!(
        "schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n[provides]\nservices = {topics:?}\n"
    );
    // They end without unwinding, so that there is nothing to compile in them.
    let mut methods = String::new();
    for topic in &topics[1..] {
        // rustc takes minutes for a trait of 10,000 asynchronous methods; those that block cost it little.
        let _ = writeln!(manifest, "[services.\"{topic}\"]\nblocking = true");
        let method = topic.replace('.', "_");
        let _ = writeln!(
            methods,
            "fn {method}(&self, _: ::ixt_sdk::Payload, _: ::ixt_sdk::Context) -> ::ixt_sdk::Result<::ixt_sdk::Response> {{ \
             ::std::process::abort() }}"
        );
    }
    // As a macro, so that the one method that is called stands where it can be read.
    let methods = format!("macro_rules! never_called {{ () => {{\n{methods}}} }}\n");
    // Without `Builder`, which has cargo look at the manifest's file: one that was written just now is newer than the build.
    let source = ixt_build::Source::new(format!("{name}.toml"), manifest);
    let code = ixt_build::generate(&source, &ixt_build::Options::default()).expect("the manifest is right").code;
    for (file, text) in [(format!("{name}.rs"), code), (format!("{name}_methods.rs"), methods)] {
        fs::write(out.join(file), text).expect("the build directory can be written to");
    }
}

/// The topic of a service. Topics are as long as usual ones, and many have the same beginning.
fn topic(index: usize) -> String {
    format!("department{:02}.object.action{index:04}", index % 40)
}
