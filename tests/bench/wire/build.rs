fn main() {
    ixt_build::compile("manifest.toml");
}
