//! How long it takes until many modules are ready, and how much memory they cost the host.

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench::measure::in_turns;
use ixt_bench_host::{drive_pairs, start};
use ixt_bench_wire::drive::{Drive, Payload};
use ixt_bench_wire::{memory, processor_time, program};

const MODULES: usize = 50;

fn main() -> Result<()> {
    let mut processor = Vec::new();
    let [host, plain, raw] = in_turns(
        11,
        [
            &mut || {
                let host = start(MODULES)?;
                processor.push(processor_time(host.id())?);
                let time = Duration::from_secs_f64(host.ready.seconds);
                host.end()?;
                Ok(time)
            },
            &mut || without_host("member"),
            &mut || without_host("raw"),
        ],
    )?;
    processor.sort_unstable();
    println!("{MODULES} modules until all are ready, ms: {:.1}", host.median());
    println!("the same program without a host, ms: {:.1}, ratio {}", plain.median(), host.ratio(&plain));
    println!("the raw echo without a host, ms: {:.1}, ratio {}", raw.median(), host.ratio(&raw));
    println!("processor time of the host, ms: {:.1}", processor[processor.len() / 2].as_secs_f64() * 1e3);

    println!(
        "\n| modules | idle | a module more | after calls of 64 B | of 64 KiB | at most |\n|---:|---:|---:|---:|---:|---:|"
    );
    let mut one = None;
    for modules in [1, 2, 100] {
        let mut host = start(modules)?;
        let idle = memory(host.id(), "VmRSS")?;
        let more =
            one.map_or_else(String::new, |one| format!("{:.0}", (idle as f64 - one as f64) / (modules - 1) as f64));
        one.get_or_insert(idle);
        let mut calls = [String::new(), String::new()];
        for (bytes, after) in [64, 64 << 10].into_iter().zip(&mut calls) {
            if modules > 1 {
                let drive = Drive { topic: String::new(), payload: Payload::Bytes(bytes), depth: 64, calls: 1000 };
                drive_pairs(&mut host, modules / 2, &drive)?;
                *after = memory(host.id(), "VmRSS")?.to_string();
            }
        }
        let most = memory(host.id(), "VmHWM")?;
        println!("| {modules} | {idle} | {more} | {} | {} | {most} |", calls[0], calls[1]);
        host.end()?;
    }
    Ok(())
}

/// Starts as many processes at once, and waits until each has answered its first frame.
fn without_host(name: &str) -> Result<Duration> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let (program, dir) = (program(name)?, tempfile::tempdir()?);
    let begin = Instant::now();
    let mut started = Vec::new();
    for number in 0..MODULES {
        let socket = dir.path().join(number.to_string());
        let listener = UnixListener::bind(&socket)?;
        started.push((Command::new(&program).env("IXT_IPC_SOCKET", &socket).spawn()?, listener));
    }
    let mut connected = Vec::new();
    for (child, listener) in started {
        let mut stream = listener.accept()?.0;
        stream.write_all(b"{\"type\":\"init\",\"id\":1,\"config\":{}}\n")?;
        connected.push((child, stream));
    }
    for (_, stream) in &connected {
        BufReader::new(stream).read_line(&mut String::new())?;
    }
    let time = begin.elapsed();
    for (mut child, stream) in connected {
        drop(stream);
        child.wait()?;
    }
    Ok(time)
}
