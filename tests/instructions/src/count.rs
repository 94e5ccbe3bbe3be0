//! Runs this program under callgrind.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::case::Case;

/// The instructions for one message: from the difference between few messages and many, so that what is done once does not count.
pub(crate) fn per_message(case: &Case) -> Result<u64> {
    let few = case.messages / 4;
    let (of_many, of_few) = std::thread::scope(|scope| {
        let of_few = scope.spawn(|| instructions(case, few));
        (instructions(case, case.messages + few), of_few.join().expect("it returns its errors"))
    });
    Ok((of_many? - of_few?) / case.messages as u64)
}

fn instructions(case: &Case, messages: usize) -> Result<u64> {
    let program = std::env::current_exe()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    // glibc takes its settings from here as well.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let output = command.args(["run", case.name, &messages.to_string()]).output().context("valgrind is needed")?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{} {messages}` has failed: {report}", case.name);
    let line = report.lines().find_map(|line| line.split_once("Collected : "));
    let (_, figure) = line.with_context(|| format!("valgrind tells no figure: {report}"))?;
    Ok(figure.trim().parse()?)
}

/// What the figures depend on besides the code: the versions of the compiler and of valgrind, and the instruction sets that valgrind offers
/// to code that chooses at run time, such as memchr, base64-simd and glibc.
pub(crate) fn made_with() -> Result<String> {
    let version = |program: &str| -> Result<String> {
        let output = Command::new(program).arg("--version").output().with_context(|| format!("{program} is needed"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut features = Command::new("valgrind");
    features.args(["-q", "--tool=none"]).arg(std::env::current_exe()?).arg("features");
    let features = features.output()?.stdout;
    Ok(format!("{}, {}, {}", version("rustc")?, version("valgrind")?, String::from_utf8_lossy(&features).trim()))
}

/// The instruction sets that such code finds.
pub(crate) fn features() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        return "AVX2";
    }
    "no AVX2"
}
