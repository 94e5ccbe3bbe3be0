//! `embedder DIR GRACE`: a host of the module in a directory, until it is killed. It sets no guard program, so the host uses its script.

use std::time::Duration;
use std::{env, io};

use ixt_host::logs::Style;
use ixt_host::{Build, Config, Deployment, Host, Module, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let (dir, grace) = (args.next().ok_or("no directory")?, args.next().ok_or("no grace")?.parse()?);
    let module = Module::open(dir)?;
    let program = module.program(&Build::default(), &|line: &str| eprintln!("{line}")).await?;
    let config = Config::of(module.manifest());
    let mut settings = Settings::default();
    (settings.shutdown_grace, settings.exit_grace) = (Duration::from_millis(grace), Duration::from_millis(grace));
    let mut builder = Host::builder(settings);
    builder.module(Deployment::new(&module, program, &config)?)?;
    let mut log = builder.logs().follow_all();
    let _host = builder.start().await?;
    while let Some(line) = log.next().await {
        io::Write::write_all(&mut io::stdout(), Style::Json.show(&line).as_bytes())?;
    }
    Ok(())
}
