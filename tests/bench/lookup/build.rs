//! Modules with 10, 100, 1,000 and 10,000 services.

use std::path::PathBuf;
use std::{env, fs};

use ixt_bench::interface::topic;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    for services in [10, 100, 1_000, 10_000] {
        let topics: Vec<_> = (0..services).map(topic).collect();
        let mut text = "schema_version = \"3.0\"\n[module]\nname = \"bench\"\nversion = \"1.0.0\"\n".to_owned();
        text += &format!("[provides]\nservices = {topics:?}\n");
        // rustc takes minutes for a trait of 10,000 asynchronous methods; the lookup is the same.
        for topic in topics {
            text += &format!("[services.\"{topic}\"]\nblocking = true\n");
        }
        let manifest = out.join(format!("topics_{services}.toml"));
        if fs::read_to_string(&manifest).is_ok_and(|written| written == text) {
            println!("cargo::rerun-if-changed={}", manifest.display());
        } else {
            fs::write(&manifest, text).unwrap();
        }
        ixt_build::Builder::new(manifest).out_file(format!("topics_{services}.rs")).compile().unwrap();
    }
}
