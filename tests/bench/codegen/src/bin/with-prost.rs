//! A build script that uses prost-build. Its input is a .proto file, which `protoc` then reads, or the descriptors that `protoc` has
//! written before.

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
