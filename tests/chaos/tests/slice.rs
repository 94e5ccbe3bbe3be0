//! A short part of what `tests/long` does for hours, with fixed seeds.

use std::path::Path;
use std::process::Command;

use ixt_chaos::{System, Until};

async fn system() -> System {
    // Cargo builds the programs of a package for its tests.
    let ledger = Path::new(env!("CARGO_BIN_EXE_ledger"));
    assert_eq!(ledger.parent(), Path::new(env!("CARGO_BIN_EXE_relay")).parent());
    System::start(ledger.parent().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_mixed_up_when_processes_are_killed() {
    let outcomes = ixt_chaos::with_faults(system().await, Until::Requests(8_000), 32, 7).await.unwrap();
    assert_eq!(outcomes.wrong(), [""; 0], "{outcomes}");
    assert_eq!(outcomes.asked(), 8_000);
    assert!(outcomes.answered() > 4_000, "{outcomes}");
    for fault in ["killed", "paused", "half-closed", "no files left", "disk full"] {
        assert!(outcomes.faults.get(fault).is_some_and(|times| *times > 0), "{fault}: {outcomes}");
    }
}

/// Runs `ixt-chaos` as a process, since it counts the resources of its process.
#[test]
fn nothing_grows_and_every_request_is_answered() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_ixt-chaos"));
    let output = soak.args(["soak", "--requests", "8000", "--seed", "7"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    // A tenth of them to warm up.
    assert!(printed.starts_with("8800 requests in "), "{printed}");
}
