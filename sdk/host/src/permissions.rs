//! Which topics a module may call and publish according to its manifest. The host checks it for requests on the
//! module's own socket (`services/bus.rs`), and for processes of the module that connect to the control socket. An
//! error of these functions is answered as `PERMISSION_DENIED`.

use ixt_manifest::Manifest;

/// Checks that the module may call a topic: any topic if its manifest has no `[requires]`, otherwise only those in
/// `[requires] services`, so none if that is empty or missing. The error is a sentence with the reason, for the caller.
pub(crate) fn may_call(manifest: &Manifest, topic: &str) -> Result<(), String> {
    let requires = &manifest.requires;
    if !requires.declared || requires.services.iter().any(|service| service.as_str() == topic) {
        return Ok(());
    }
    let name = &manifest.module.name;
    Err(format!("`{name}` may not call `{topic}`: it is not in the `[requires] services` of its manifest"))
}

/// Checks that the module may publish an event: only those in `[provides] events`. The error is a sentence with the
/// reason, for the publisher.
pub(crate) fn may_publish(manifest: &Manifest, topic: &str) -> Result<(), String> {
    if manifest.events.iter().any(|event| event.topic.as_str() == topic) {
        return Ok(());
    }
    let name = &manifest.module.name;
    Err(format!("`{name}` may not publish `{topic}`: it is not in the `[provides] events` of its manifest"))
}
