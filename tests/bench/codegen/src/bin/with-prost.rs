//! A build script that uses prost-build: from the .proto, which `protoc` reads, or from what protoc has read already.

use prost_build::Config;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap();
    let mut config = Config::new();
    if path.ends_with(".descriptors") {
        config.file_descriptor_set_path(path).skip_protoc_run();
        return config.compile_protos(&["bench.proto"], &["."]);
    }
    config.compile_protos(&[path], &["."])
}
