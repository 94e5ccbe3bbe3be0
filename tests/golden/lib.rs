//! The expected code of every manifest in `manifests/valid/`, compiled as an author's crate would compile it, under the
//! strictest lints. A test in `tests/golden.rs` fails if one is missing here.
#![deny(warnings, missing_docs, clippy::pedantic)]

/// `manifests/valid/config.toml`.
pub mod config {
    include!("code/config.rs");
}

/// `manifests/valid/descriptions.toml`.
pub mod descriptions {
    include!("code/descriptions.rs");
}

/// `manifests/valid/everything.toml`.
pub mod everything {
    include!("code/everything.rs");
}

/// `manifests/valid/greeter.toml`.
pub mod greeter {
    include!("code/greeter.rs");
}

/// `manifests/valid/keywords.toml`.
pub mod keywords {
    include!("code/keywords.rs");
}

/// `manifests/valid/long-forms.toml`.
pub mod long_forms {
    include!("code/long-forms.rs");
}

/// `manifests/valid/minimal.toml`.
pub mod minimal {
    include!("code/minimal.rs");
}

/// `manifests/valid/names.toml`.
pub mod names {
    include!("code/names.rs");
}

/// `manifests/valid/nodejs-quickstart.toml`.
pub mod nodejs_quickstart {
    include!("code/nodejs-quickstart.rs");
}

/// `manifests/valid/notifications.toml`.
pub mod notifications {
    include!("code/notifications.rs");
}

/// `manifests/valid/orders.toml`.
pub mod orders {
    include!("code/orders.rs");
}

/// `manifests/valid/python-quickstart.toml`.
pub mod python_quickstart {
    include!("code/python-quickstart.rs");
}

/// `manifests/valid/scalars.toml`.
pub mod scalars {
    include!("code/scalars.rs");
}

/// `manifests/valid/simulation-relay.toml`.
pub mod simulation_relay {
    include!("code/simulation-relay.rs");
}

/// `manifests/valid/simulation-worker.toml`.
pub mod simulation_worker {
    include!("code/simulation-worker.rs");
}

/// `manifests/valid/types.toml`.
pub mod types {
    include!("code/types.rs");
}
