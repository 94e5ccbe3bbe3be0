//! Fuzz targets. The README lists them, and what each checks.
//!
//! `main.rs` runs one of them on what libFuzzer finds or on files; a test here runs all of them on a few hundred inputs.

mod base64_text;
mod control;
mod decoder;
mod frames;
mod input;
mod manifest;
mod module;
mod seeds;
mod session;
#[cfg(test)]
mod slice;
mod text;

/// A fuzz target.
pub struct Target {
    /// Its name, on the command line and as the directory of its corpus.
    pub name: &'static str,
    /// Runs the target on an input. Panics if a check fails.
    pub run: fn(&[u8]),
    /// The first inputs; for frames, the examples in `PROTOCOL.md`.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets, sorted by name.
pub const TARGETS: &[Target] = &[
    Target { name: "base64_text", run: base64_text::run, seeds: seeds::base64_text },
    Target { name: "control", run: control::run, seeds: control::seeds },
    Target { name: "decoder", run: decoder::run, seeds: seeds::decoder },
    Target { name: "host_frame", run: frames::run_host, seeds: || seeds::frames("host") },
    Target { name: "manifest", run: manifest::run, seeds: seeds::manifests },
    Target { name: "module_frame", run: frames::run_module, seeds: || seeds::frames("module") },
    Target { name: "session", run: session::run, seeds: seeds::session },
    Target { name: "text", run: text::run, seeds: seeds::texts },
];

impl Target {
    /// The target of this name; `None` if there is none.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
