//! A manifest of any text: it is read, or reported with its mistakes, and no text of either can control a terminal.

use ixt_manifest::{Manifest, Source};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let told = match Manifest::parse(&Source::new("manifest.toml", text)) {
        Ok(manifest) => manifest.warnings.to_string(),
        Err(report) => report.to_string(),
    };
    crate::text::assert_harmless(&told);
}
