//! Generates the code of the module in `examples/echo`, of varlink and of tonic.

fn main() {
    ixt_build::compile("../../../examples/echo/manifest.toml");
    varlink_generator::cargo_build("src/echo.varlink");
    tonic_prost_build::configure().bytes(".").compile_protos(&["src/echo.proto"], &["src"]).expect("protoc takes it");
}
