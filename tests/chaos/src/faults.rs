//! The faults: what happens to the modules' processes while requests are made.

use std::collections::BTreeMap;
use std::time::Duration;

use ixt_host::{CallOptions, Host};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal, setrlimit};
use tokio::signal;
use tokio::sync::watch;

/// Makes a fault after every few hundred requests, until no more requests are made. Returns how often it made each fault.
pub(crate) async fn make(host: Host, mut made: watch::Receiver<u64>, seed: u64) -> BTreeMap<&'static str, u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    // With a handler, the signal does not end this process: a write beyond the limit fails instead.
    let _too_large = signal::unix::signal(signal::unix::SignalKind::from_raw(Signal::XFSZ.as_raw()));
    let mut faults = BTreeMap::new();
    let mut next = 0;
    loop {
        next += random.u64(50..500);
        if made.wait_for(|made| *made >= next).await.is_err() {
            return faults;
        }
        let (name, done) = match random.u8(..11) {
            0..4 => ("killed", send(&host, &mut random, Signal::KILL).is_some()),
            4 => ("ended", send(&host, &mut random, Signal::TERM).is_some()),
            5 | 6 => ("paused", pause(&host, &mut random).await),
            7 => ("half-closed", fall_silent(&host).await),
            8 => ("no files left", limited(Resource::Nofile, open_files(), &mut random).await),
            9 => ("disk full", limited(Resource::Fsize, 4096, &mut random).await),
            _ => {
                let module = *random.choice(&["ledger", "relay", "mute"]).unwrap_or(&"ledger");
                // Another fault may keep it from getting ready.
                let _ = host.restart(module).await;
                ("restarted", true)
            }
        };
        *faults.entry(name).or_default() += u64::from(done);
    }
}

/// Makes a process close its half of the connection and run on.
async fn fall_silent(host: &Host) -> bool {
    let options = CallOptions { ttl: Some(Duration::from_millis(500)), ..CallOptions::default() };
    host.call("mute.fall_silent", b"", options).await.is_err()
}

/// Limits a resource of this process, which is the host's, to `current` for a while.
async fn limited(resource: Resource, current: u64, random: &mut fastrand::Rng) -> bool {
    let before = getrlimit(resource);
    if setrlimit(resource, Rlimit { current: Some(current), ..before }).is_err() {
        return false;
    }
    tokio::time::sleep(Duration::from_millis(random.u64(1..100))).await;
    setrlimit(resource, before).is_ok()
}

fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Sends a signal to one of the processes; `None` if it had ended already.
fn send(host: &Host, random: &mut fastrand::Rng, signal: Signal) -> Option<impl Fn(Signal) -> bool + use<>> {
    let instances: Vec<_> = host.status().into_iter().flat_map(|module| module.instances).collect();
    let pids: Vec<_> = instances.iter().filter_map(|instance| instance.pid).collect();
    let pid = *random.choice(&pids)?;
    let process = pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()?;
    // Not another process that has got the id since. In the file, the parent is the second field after the name.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    let send = move |signal| pidfd_send_signal(&process, signal).is_ok();
    (parent == std::process::id() && send(signal)).then_some(send)
}

/// Stops a process for a while: sometimes for longer than the host's health timeout.
async fn pause(host: &Host, random: &mut fastrand::Rng) -> bool {
    let Some(send) = send(host, random, Signal::STOP) else { return false };
    let longest = if random.u8(..) < 32 { 1500 } else { 50 };
    tokio::time::sleep(Duration::from_millis(random.u64(1..longest))).await;
    send(Signal::CONT);
    true
}
