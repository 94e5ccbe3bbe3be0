//! The machine and the versions that the figures are of.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use ixt_bench_wire::load::Payload;

/// The peers whose versions the report has.
const PEERS: [&str; 8] = ["async-nats", "tarpc", "varlink", "zlink", "rmcp", "tonic", "lambda_runtime", "redb"];

/// The name of a payload in the report.
pub fn payload(payload: Payload) -> String {
    match payload {
        Payload::Bytes(bytes) if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        Payload::Bytes(bytes) if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        Payload::Bytes(bytes) => format!("{bytes} B"),
        Payload::Record => "a record of 8 fields".to_owned(),
    }
}

/// The head of the report.
pub fn description(rounds: usize) -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let mut text = "# Results\n\nWritten by `cargo run --release -p ixt-bench-peers`; the [README](README.md) says what is measured, \
        and how to read it.\n\n"
        .to_owned();
    writeln!(
        text,
        "- {}, commit {}",
        output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        output_of("git", &["describe", "--always", "--dirty"])
    )?;
    writeln!(
        text,
        "- {model}, {} processors, Linux {}",
        std::thread::available_parallelism()?,
        output_of("uname", &["-r"])
    )?;
    writeln!(
        text,
        "- {}, Python {}, Node.js {}, {}",
        output_of("rustc", &["-V"]),
        output_of("python3", &["-V"]).trim_start_matches("Python "),
        output_of("node", &["-v"]),
        output_of("nats-server", &["-v"])
    )?;
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"))?;
    let versions = PEERS.iter().filter_map(|peer| {
        let (_, after) = lock.split_once(&format!("name = \"{peer}\"\nversion = \""))?;
        Some(format!("{peer} {}", after.split_once('"')?.0))
    });
    writeln!(text, "- {}", versions.collect::<Vec<_>>().join(", "))?;
    writeln!(text, "- {rounds} rounds; load before: {}\n", std::fs::read_to_string("/proc/loadavg")?.trim())?;
    Ok(text)
}

/// What a program prints, or `none` if it can't be run or fails.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else { return "none".to_owned() };
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
