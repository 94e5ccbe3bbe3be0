//! Generates the code of the module that the target `session` runs.

fn main() {
    ixt_build::compile("manifest.toml");
}
