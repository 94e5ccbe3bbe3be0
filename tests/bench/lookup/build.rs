//! Generates the code of modules with 10, 100, 1,000 and 10,000 services.

use std::path::PathBuf;
use std::{env, fs};

use ixt_bench_codegen::interface::topic;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    for services in [10, 100, 1_000, 10_000] {
        let topics: Vec<_> = (0..services).map(topic).collect();
        let mut text = "schema_version = \"3.0\"\n[module]\nname = \"bench\"\nversion = \"1.0.0\"\n".to_owned();
        text += &format!("[provides]\nservices = {topics:?}\n");
        // rustc takes minutes for a trait of 10,000 asynchronous methods; the lookup is the same.
        for topic in topics {
            text += &format!("[services.\"{topic}\"]\nblocking = true\n");
        }
        // `Builder` would tell cargo to watch the manifest's file. As the file is written here, each build would start again.
        let source = ixt_build::Source::new("manifest.toml", text);
        let code = ixt_build::generate(&source, &ixt_build::Options::default()).unwrap().code;
        fs::write(out.join(format!("topics_{services}.rs")), code).unwrap();
    }
}
