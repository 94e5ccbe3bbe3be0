//! Generates the module's code from its manifest.

fn main() {
    ixt_build::compile("manifest.toml");
}
