//! A build script that uses typify, as typify's guide has it.

use std::path::PathBuf;
use std::{env, fs};

use schemars::schema::RootSchema;
use typify::{TypeSpace, TypeSpaceSettings};

fn main() {
    let json = fs::read_to_string(env::args().nth(1).unwrap()).unwrap();
    let schema = serde_json::from_str::<RootSchema>(&json).unwrap();
    let mut types = TypeSpace::new(&TypeSpaceSettings::default());
    types.add_root_schema(schema).unwrap();
    let code = prettyplease::unparse(&syn::parse2::<syn::File>(types.to_stream()).unwrap());
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap()).join("bench.rs"), code).unwrap();
}
