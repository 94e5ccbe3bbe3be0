//! A build script that uses ixt-build.

fn main() {
    ixt_build::compile(std::env::args().nth(1).unwrap());
}
