//! Generates the code of both modules.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ixt_build::Builder::new("ledger/manifest.toml").out_file("ledger.rs").compile()?;
    ixt_build::Builder::new("relay/manifest.toml").out_file("relay.rs").compile()?;
    Ok(())
}
