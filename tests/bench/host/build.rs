//! Generates the code of one program that can be each module of a host, although each has a service of its own: it knows all services,
//! `echo.n00` to `echo.n49` and `drive.n00` to `drive.n49`, and the manifest of a module names one of them.

use std::path::PathBuf;
use std::{env, fs};

/// The number of pairs of modules that a host can have.
const PAIRS: usize = 50;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let mut services = Vec::new();
    let mut methods = String::new();
    for kind in ["drive", "echo"] {
        for number in 0..PAIRS {
            services.push(format!("{kind}.n{number:02}"));
            methods += &format!(
                "async fn {kind}_n{number:02}(&self, payload: Payload, ctx: Context) -> Result<Response> {{\n\
                     {kind}(payload, ctx).await\n\
                 }}\n"
            );
        }
    }
    services.push("record".to_owned());
    methods += "async fn record(&self, request: Item, _ctx: Context) -> Result<Item> {\nOk(request)\n}\n";
    let manifest = format!(
        "schema_version = \"3.0\"\n[module]\nname = \"member\"\nversion = \"1.0.0\"\n[provides]\nservices = {services:?}\n\
         [types.Item]\nid = \"integer\"\nname = \"string\"\nemail = \"string\"\nactive = \"boolean\"\nscore = \"float\"\n\
         quantity = \"integer\"\ntags = \"[string]\"\nnote = \"string\"\n\
         [services.record]\nrequest = \"Item\"\nresponse = \"Item\"\n"
    );
    let handler = format!(
        "impl Handler for Member {{\n\
             async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {{\nOk(Self)\n}}\n\
             {methods}\
         }}\n"
    );
    // `Builder` would tell cargo to watch the manifest's file. As the file is written here, each build would start again.
    let source = ixt_build::Source::new("manifest.toml", manifest);
    let code = ixt_build::generate(&source, &ixt_build::Options::default()).unwrap().code;
    fs::write(out.join("module.rs"), code).unwrap();
    fs::write(out.join("handler.rs"), handler).unwrap();
}
