//! What a host has on the machine besides its own process: its id, the guard, the directory of its sockets, a cgroup
//! where the system allows one, and adopted orphans. All of it is removed with the host, with one exception: if a
//! module has a `cpu` limit, the host's own process has moved into a child of its cgroup, and that child stays.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_protocol::LogLevel;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::process::Command;
use tokio::time::sleep;

use crate::guard::{Guard, GuardMessage};
use crate::lock::lock;
use crate::logs::Logs;
use crate::processes::cgroup::Cgroup;
use crate::processes::descendants::{Descendants, HOST_ID, MODULE_ID, host_mark};
use crate::processes::reaper::{Reaper, orphans};
use crate::settings::Settings;
use crate::socket::{Socket, Sockets};
use crate::standstill::{Pulse, timeout};

/// The first pause between two looks whether processes are left. Each further pause is twice as long, up to [`LOOK_EVERY`].
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// The longest pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The resources of one host, shared by its replicas. When this is dropped, every process of a module is killed, with
/// all that these processes have started.
#[derive(Debug)]
pub(crate) struct HostResources {
    /// A random number, 32 hexadecimal digits: `IXT_HOST_ID` in the environment of each process of a module, the same
    /// for all of them.
    id: String,
    sockets: Sockets,
    /// `None` if it could not be started, and for a simulated host.
    guard: Option<Guard>,
    /// The host's cgroup, or the reason why it has none.
    cgroup: Result<Cgroup, String>,
    /// The modules (`name:version`) for which it was logged that their `cpu` limit is not enforced.
    unlimited: Mutex<BTreeSet<String>>,
    logs: Logs,
    /// `None` if the host adopts no orphans ([`Settings::adopts_orphans`]), or can't.
    reaper: Option<Reaper>,
    /// The number of the next process, from 1: the name of its part of the cgroup.
    started: AtomicU64,
    /// Notices when this process stands still; `None` for a simulated host.
    _pulse: Option<Pulse>,
    /// The simulated machine that replaces real processes, in tests.
    #[cfg(test)]
    pub(crate) simulation: Option<Arc<crate::simulation::Machine>>,
}

impl HostResources {
    /// Makes the resources, and starts the guard. A guard or a reaper that can't be started is logged as a warning, and
    /// the host does without; a missing cgroup is logged once it matters, by [`descendants`](Self::descendants). To be
    /// called within a tokio runtime.
    pub(crate) fn new(settings: &Settings, logs: &Logs) -> Arc<Self> {
        let id = format!("{:032x}", fastrand::u128(..));
        let cgroup = Cgroup::create(&format!("ixt-{id}"));
        let mut entries = vec![GuardMessage::Host(id.clone())];
        entries.extend(cgroup.as_ref().map(|cgroup| GuardMessage::Cgroup(cgroup.dir().to_owned())));
        let graces = [settings.shutdown_grace, settings.exit_grace];
        let guard = Guard::start(settings.guard.clone(), graces, entries, logs.clone());
        let warn = |what: &str, error: io::Error| logs.host(LogLevel::Warn, "host", format!("{what}: {error}"));
        let what = "there is no guard process: if this host is killed, modules that hang are not ended";
        let guard = guard.map_err(|error| warn(what, error)).ok();
        let what = "this host can't adopt orphans of modules: those that leave their group may not be ended";
        let reaper = settings.adopts_orphans.then(Reaper::start).transpose();
        let reaper = reaper.map_err(|error| warn(what, error)).ok().flatten();
        let (sockets, unlimited, logs) = (Sockets::default(), Mutex::default(), logs.clone());
        let (started, pulse) = (AtomicU64::new(1), Some(Pulse::start(logs.clone())));
        Arc::new(Self {
            id,
            sockets,
            guard,
            cgroup,
            unlimited,
            logs,
            reaper,
            started,
            _pulse: pulse,
            #[cfg(test)]
            simulation: None,
        })
    }

    /// The resources of a simulated host: no sockets, no cgroup and no guard.
    #[cfg(test)]
    pub(crate) fn simulated(simulation: Arc<crate::simulation::Machine>, logs: &Logs) -> Arc<Self> {
        Arc::new(Self {
            id: "simulation".to_owned(),
            sockets: Sockets::default(),
            guard: None,
            cgroup: Err("it is simulated".to_owned()),
            unlimited: Mutex::default(),
            logs: logs.clone(),
            reaper: None,
            started: AtomicU64::new(1),
            _pulse: None,
            simulation: Some(simulation),
        })
    }

    /// Makes a listening socket for one process. With the first one, makes their directory and tells the guard. The
    /// error has the path that could not be made, and why.
    pub(crate) fn socket(&self) -> Result<Socket, (std::path::PathBuf, io::Error)> {
        self.sockets.socket(|dir| self.tell(GuardMessage::Sockets(dir.to_owned())))
    }

    /// The guard; `None` if it could not be started.
    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// Sends the guard a message; does nothing without a guard. Never waits.
    pub(crate) fn tell(&self, entry: GuardMessage) {
        if let Some(guard) = &self.guard {
            guard.tell(entry);
        }
    }

    /// Adds `IXT_HOST_ID` and `IXT_MODULE_ID` to the environment of a command that is about to be started, so that its
    /// descendants can be found. `instance` is the process's id, `name:version/instance-NNN`.
    pub(crate) fn mark(&self, command: &mut Command, instance: &str) {
        command.env(HOST_ID, &self.id).env(MODULE_ID, instance);
    }

    /// Registers a process that was just started, the leader of its group: sends it to the guard, and puts it into a
    /// part of the cgroup. `cpu` limits how many processors the process and its descendants may use together, such as
    /// 1.5; `None` is no limit. Without a cgroup the descendants are found by group and mark alone. A `cpu` limit that
    /// can't be enforced is logged, once for each module.
    pub(crate) fn descendants(&self, leader: Pid, instance: &str, cpu: Option<f64>) -> Descendants {
        if let Some(guard) = &self.guard {
            guard.add(leader);
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let place = || {
            let all = self.cgroup.as_ref().map_err(String::clone)?;
            let part = all.part(&number.to_string())?;
            let limited = cpu.map_or(Ok(()), |cpu| {
                all.share_out("cpu", getpid())?;
                part.limit_cpu(cpu)
            });
            part.add(leader)?;
            Ok((part, limited))
        };

        let (cgroup, limited) =
            place().map_or_else(|reason| (None, Err(reason)), |(part, limited)| (Some(part), limited));
        if let (Some(_), Err(reason)) = (cpu, limited) {
            self.warn_unlimited(instance, &reason);
        }
        let marks = vec![host_mark(&self.id), format!("{MODULE_ID}={instance}")];
        Descendants { groups: vec![leader], marks, cgroup }
    }

    /// Warns, once for each `name:version`, that its `cpu` limit is not enforced here, and why.
    fn warn_unlimited(&self, instance: &str, reason: &str) {
        let module = instance.rsplit_once('/').map_or(instance, |(module, _)| module);
        if lock(&self.unlimited).insert(module.to_owned()) {
            let message = format!(
                "`cpu` in [limits] of its manifest does not hold: {reason}. The host needs a cgroup of its own with the controller \
                 `cpu`: `Delegate=yes` in its systemd unit, `systemd-run --user --scope -p Delegate=yes ixt run …`, or a container \
                 that may write to its /sys/fs/cgroup"
            );
            self.logs.host(LogLevel::Warn, module, message);
        }
    }

    /// Tells the guard that no process of this group is left.
    pub(crate) fn ended(&self, leader: Pid) {
        if let Some(guard) = &self.guard {
            guard.remove(leader);
        }
    }

    /// Ends what modules have left behind, with SIGTERM and, after `grace`, SIGKILL; then, in the same way, adopted
    /// orphans, which takes up to another `grace`. To be called when all modules have ended.
    pub(crate) async fn end(&self, grace: Duration) {
        #[cfg(test)]
        if self.simulation.is_some() {
            return;
        }
        end(&mut self.all(), grace).await;
        if self.reaper.is_none() {
            return;
        }
        // A process that has lost all marks is still a child of this process, if its parent has ended.
        signal_orphans(Signal::TERM);
        wait(grace, || !orphans().is_empty()).await;
        signal_orphans(Signal::KILL);
    }

    /// All processes with this host's `IXT_HOST_ID` in their environment: those of its modules, and what these have
    /// started.
    fn all(&self) -> Descendants {
        Descendants { marks: vec![host_mark(&self.id)], ..Descendants::default() }
    }
}

impl Drop for HostResources {
    fn drop(&mut self) {
        #[cfg(test)]
        if self.simulation.is_some() {
            return;
        }
        self.all().kill();
        if let Ok(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if self.reaper.is_some() {
            signal_orphans(Signal::KILL);
        }
    }
}

fn signal_orphans(signal: Signal) {
    for pid in orphans() {
        // They are children of this process: their ids are not reused before it has reaped them.
        let _ = kill_process(pid, signal);
    }
}

/// Ends the descendants that are left, with SIGTERM and, after `grace`, SIGKILL. Returns at once if none is left, and
/// does not wait after SIGKILL.
pub(crate) async fn end(descendants: &mut Descendants, grace: Duration) {
    if !descendants.any_left() {
        return;
    }
    descendants.signal(Signal::TERM);
    wait(grace, || descendants.any_left()).await;
    descendants.kill();
}

/// Waits until `is_left` returns false, for `grace` at most.
async fn wait(grace: Duration, mut is_left: impl FnMut() -> bool) {
    let ends = async {
        let mut pause = LOOK_AFTER;
        while is_left() {
            sleep(pause).await;
            pause = (2 * pause).min(LOOK_EVERY);
        }
    };
    let _ = timeout(grace, ends).await;
}
