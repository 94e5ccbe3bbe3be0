//! What a module may do by its manifest, wherever it asks: over its own socket, or at the host's control socket.

use ixt_manifest::Manifest;

/// Whether the module may call this. If not, the reason.
pub(crate) fn may_call(manifest: &Manifest, topic: &str) -> Result<(), String> {
    let requires = &manifest.requires;
    if !requires.declared || requires.services.iter().any(|service| service.as_str() == topic) {
        return Ok(());
    }
    let name = &manifest.module.name;
    Err(format!("`{name}` may not call `{topic}`: it is not in the `[requires] services` of its manifest"))
}

/// Whether the module may publish this. If not, the reason.
pub(crate) fn may_publish(manifest: &Manifest, topic: &str) -> Result<(), String> {
    if manifest.events.iter().any(|event| event.topic.as_str() == topic) {
        return Ok(());
    }
    let name = &manifest.module.name;
    Err(format!("`{name}` may not publish `{topic}`: it is not in the `[provides] events` of its manifest"))
}
