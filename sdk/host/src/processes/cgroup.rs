//! A cgroup (v2) for the processes that a host starts, if the system lets the host make one. A process can't leave its
//! cgroup by forking, or by changing its group, session or environment; so all of them are found and killed, and their
//! limits hold. Where cgroups are mounted is read from the mounts of this process, since there are hybrid hierarchies
//! and containers. Errors are reasons for people: `host_resources` goes on without a cgroup, or without the limit.
//!
//! A cgroup distributes a controller, such as `cpu`, to its children only if no process is in the cgroup itself; the
//! root cgroup is an exception. Therefore, if a manifest has a `cpu` limit, the host moves itself and what it has
//! started into a child of its cgroup. It moves no other process:
//!
//! ```text
//! own                 the cgroup in which the host was started; distributes `cpu`
//! ├── ixt-host        the host and its guard; it is never removed by the host
//! └── ixt-ID          made by the host; distributes `cpu`
//!     ├── 1           the first process of a module, with its `cpu.max`
//!     └── 2           the second one
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::getxattr;
use rustix::process::{Pid, geteuid};

use crate::processes::ancestry;

/// The child of its own cgroup into which a host moves.
const HOST: &str = "ixt-host";
/// The period of a `cpu` quota, in microseconds: the system's default.
const PERIOD: u32 = 100_000;
/// How often [`vacate`] moves the processes that it finds: further ones may have been started meanwhile.
const ROUNDS: usize = 20;

/// A cgroup that a host has made. When this is dropped, the cgroup and its children are removed, unless a process is
/// still in them.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// Its directory, below the place where cgroups are mounted.
    dir: PathBuf,
}

impl Cgroup {
    /// Makes the child `name` of the cgroup in which this process was started. Called once for each host.
    ///
    /// # Errors
    ///
    /// A reason, for people: such as that there is no cgroup v2, that this process may not write to it, that it has
    /// such a child already, or that the kernel is older than 5.14.
    pub(crate) fn create(name: &str) -> Result<Self, String> {
        let read = |file: &str| fs::read_to_string(file).map_err(|error| format!("can't read {file}: {error}"));
        let own = place(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let own = own.ok_or("there is no cgroup v2 with this process in it")?;
        // An earlier host in this process may have moved the process into `ixt-host`.
        let moved = own.file_name().is_some_and(|name| name == HOST);
        Self::create_in(own.parent().filter(|_| moved).unwrap_or(&own), name)
    }

    /// Makes the child `name` of this cgroup, for one process of a module. The error is a reason, for people.
    pub(crate) fn part(&self, name: &str) -> Result<Self, String> {
        Self::create_in(&self.dir, name)
    }

    /// The cgroup at `dir`, of a host that was killed. For the guard, which kills and removes it.
    pub(crate) fn left(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Makes the cgroup `name` in the directory of another one.
    fn create_in(parent: &Path, name: &str) -> Result<Self, String> {
        let dir = parent.join(name);
        fs::create_dir(&dir).map_err(|error| format!("can't make a cgroup in {}: {error}", parent.display()))?;
        let cgroup = Self { dir };
        if !cgroup.dir.join("cgroup.kill").exists() {
            return Err("a cgroup can't be killed with a kernel before Linux 5.14".to_owned());
        }
        Ok(cgroup)
    }

    /// Its directory in the file system.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Moves a process into this cgroup. The error is a reason, for people. Processes that it starts afterwards are in
    /// the cgroup too; those that it has started before are not.
    pub(crate) fn add(&self, pid: Pid) -> Result<(), String> {
        write(&self.dir.join("cgroup.procs"), &pid.as_raw_nonzero().to_string())
    }

    /// Limits the processes of this cgroup together to this many processors: 1.5 is one and a half. Less than 0.01
    /// counts as 0.01, and more than 10,000,000 as that. Fails unless the parent [shares out](Self::share_out) `cpu`.
    pub(crate) fn limit_cpu(&self, cpu: f64) -> Result<(), String> {
        write(&self.dir.join("cpu.max"), &quota(cpu))
    }

    /// Distributes a controller from the parent cgroup to this one, and from this one to its children. If need be, this
    /// first moves the host (the process `host`) and what it has started from the parent cgroup into the child
    /// `ixt-host` of that. Does nothing if this cgroup distributes the controller already.
    ///
    /// # Errors
    ///
    /// A reason, for people. The host may have been moved by then, and the parent may distribute the controller to this
    /// cgroup; this cgroup does not distribute it.
    pub(crate) fn share_out(&self, controller: &str, host: Pid) -> Result<(), String> {
        let Some(own) = self.dir.parent().filter(|_| !shares_out(&self.dir, controller)) else { return Ok(()) };
        if !shares_out(own, controller) {
            let controllers = own.join("cgroup.controllers");
            if !lists(&controllers, controller) {
                return Err(format!("`{controller}` is not in {}", controllers.display()));
            }
            if !is_delegated(own) {
                return Err(format!("{} belongs to systemd, which has not delegated it", own.display()));
            }
            // The root cgroup may distribute controllers although it has processes.
            if own.join("cgroup.type").exists() {
                vacate(own, host)?;
            }
        }
        for dir in [own, &self.dir] {
            write(&dir.join("cgroup.subtree_control"), &format!("+{controller}"))?;
        }
        Ok(())
    }

    /// Whether a process is in this cgroup or in a child of it. False if that can't be read.
    pub(crate) fn is_populated(&self) -> bool {
        fs::read_to_string(self.dir.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// The processes in this cgroup and in its children, in no certain order. Those without an id in this pid namespace
    /// are left out.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let dirs = self.parts().into_iter().chain([self.dir.clone()]);
        dirs.flat_map(|dir| listed(&dir).into_iter().filter_map(Pid::from_raw).collect::<Vec<_>>()).collect()
    }

    /// Kills all processes in this cgroup and in its children, also those that are being forked. Does not wait for
    /// their end, and ignores errors.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.dir.join("cgroup.kill"), "1");
    }

    /// The directories of its children.
    fn parts(&self) -> Vec<PathBuf> {
        let children = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        children.map(|child| child.path()).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in self.parts().into_iter().chain([self.dir.clone()]) {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// The ids of the processes in this cgroup itself. A process that is not in this process's pid namespace has the id 0.
fn listed(dir: &Path) -> Vec<i32> {
    let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    listed.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether `word` is one of the words in a file. False if the file can't be read.
fn lists(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|words| words.split_whitespace().any(|listed| listed == word))
}

/// Whether a cgroup distributes a controller to its children.
fn shares_out(dir: &Path, controller: &str) -> bool {
    lists(&dir.join("cgroup.subtree_control"), controller)
}

/// Writes to a file of a cgroup. The error names the file and the reason.
fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("can't write {text:?} to {}: {error}", file.display()))
}

/// Whether systemd has delegated this cgroup or one above it, or does not run. Only the superuser has to look: an
/// ordinary user can only write to a cgroup that was delegated, so that this is true.
fn is_delegated(dir: &Path) -> bool {
    let marked = |dir: &Path| {
        ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
            let mut value = [0];
            getxattr(dir, name, &mut value).is_ok_and(|length| length == 1 && &value == b"1")
        })
    };
    !geteuid().is_root() || !Path::new("/run/systemd/system").exists() || dir.ancestors().any(marked)
}

/// Moves a host and what it has started from its cgroup `own` into the child `ixt-host` of that, until `own` itself has
/// no process.
///
/// # Errors
///
/// A reason, for people: `own` has a process that the host has not started, or a process could not be moved.
fn vacate(own: &Path, host: Pid) -> Result<(), String> {
    let is_of_host = |pid: i32| {
        let host = host.as_raw_nonzero().get();
        let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0);
        let ancestry = pid.and_then(|pid| ancestry::ancestry(pid).ok()).unwrap_or_default();
        ancestry.iter().any(|process| i32::try_from(process.pid) == Ok(host))
    };
    let part = own.join(HOST);
    for _ in 0..ROUNDS {
        let there = listed(own);
        if there.is_empty() {
            return Ok(());
        }
        if let Some(other) = there.iter().copied().find(|pid| !is_of_host(*pid))
            // The process may have ended meanwhile.
            && listed(own).contains(&other)
        {
            let other = match u32::try_from(other) {
                Ok(0) | Err(_) => "a process that can't be seen from here".to_owned(),
                Ok(other) => ancestry::describe(other),
            };
            return Err(format!("the host has to be alone in its cgroup {}, and {other} is there too", own.display()));
        }
        if let Err(error) = fs::create_dir(&part)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(format!("can't make a cgroup in {}: {error}", own.display()));
        }
        for pid in there {
            // A process that has ended can't be moved. The next round sees which ones are left.
            let _ = fs::write(part.join("cgroup.procs"), pid.to_string());
        }
    }
    Err(format!("the host can't leave its cgroup {}", own.display()))
}

/// The content of `cpu.max` for this many processors: microseconds of processor time, and the period. The system
/// demands at least 1,000 µs.
fn quota(cpu: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within what the system takes")]
    let micros = (cpu * f64::from(PERIOD)).round().clamp(1_000.0, 1e12) as u64;
    format!("{micros} {PERIOD}")
}

/// The directory of this process's own cgroup, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`. `None`
/// if it is not in a cgroup v2, or the cgroup is outside of what is mounted.
fn place(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let below = if root == "/" { own } else { own.strip_prefix(root)? };
        (!below.contains("/..")).then(|| Path::new(point).join(below.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_cgroup_is_found_and_killed_with_all_that_it_has_started() {
        let cgroup = match Cgroup::create(&format!("ixt-test-{}", std::process::id())) {
            Ok(cgroup) => cgroup,
            Err(reason) => return eprintln!("not tested here: {reason}"),
        };
        let part = cgroup.part("1").unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read -r line; setsid sleep 3600 & setsid sleep 3600"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        part.add(Pid::from_child(&child)).unwrap();
        drop(child.stdin.take());
        while cgroup.pids().len() < 3 {
            std::thread::yield_now();
        }
        assert!(cgroup.is_populated());
        cgroup.kill();
        child.wait().unwrap();
        while cgroup.is_populated() {
            std::thread::yield_now();
        }
        let dir = cgroup.dir().to_owned();
        drop((part, cgroup));
        assert!(!dir.exists());
    }

    /// Starts a shell, and waits until its script has started another process. Both end with the shell's stdin.
    fn shell() -> std::process::Child {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "exec 3<&0; (read -r end) <&3 & echo; wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        shell
    }

    /// Uses any controller that there is, since all are distributed in the same way.
    #[test]
    fn a_host_moves_so_that_its_cgroup_shares_out_a_controller_unless_others_are_there() {
        let top = match Cgroup::create(&format!("ixt-top-{}", std::process::id())) {
            Ok(top) => top,
            Err(reason) => return eprintln!("not tested here: {reason}"),
        };
        let controllers = fs::read_to_string(top.dir.parent().unwrap().join("cgroup.controllers")).unwrap();
        // No `cpuset`, which needs more than that.
        let mut controllers: Vec<_> = controllers.split_whitespace().filter(|name| *name != "cpuset").collect();
        controllers.sort_by_key(|name| *name != "cpu");
        let Some(controller) = controllers.first() else {
            return eprintln!("not tested here: there are no controllers");
        };
        let me = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        let parent = top.dir.parent().unwrap().to_owned();
        let was_shared_out = shares_out(&parent, controller);
        if let Err(reason) = top.share_out(controller, me) {
            return eprintln!("not tested here: {reason}");
        }
        let own = top.part("own").unwrap();
        let modules = own.part("ixt-0").unwrap();
        let start = |place: &Cgroup| {
            let shell = shell();
            let pid = Pid::from_child(&shell);
            let started: Vec<_> = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id()))
                .unwrap()
                .split_whitespace()
                .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
                .collect();
            assert_eq!(started.len(), 1);
            started.iter().chain([&pid]).for_each(|pid| place.add(*pid).unwrap());
            (shell, pid)
        };
        let (mut host, host_pid) = start(&own);
        let (mut other, other_pid) = start(&own);

        let refused = modules.share_out(controller, host_pid).unwrap_err();
        assert!(
            refused.contains("has to be alone in its cgroup") && refused.contains("(sh) is there too"),
            "{refused}"
        );
        assert!(refused.contains(own.dir.to_str().unwrap()), "{refused}");
        assert_eq!(listed(&own.dir).len(), 4, "nobody was moved");
        assert!(!own.dir.join(HOST).exists() && !refused.contains(&format!("process {} ", host.id())), "{refused}");
        drop(other.stdin.take());
        other.wait().unwrap();
        while listed(&own.dir).len() > 2 {
            std::thread::yield_now();
        }

        modules.share_out(controller, host_pid).unwrap();
        assert_eq!(listed(&own.dir), [] as [i32; 0]);
        assert_eq!(listed(&own.dir.join(HOST)).len(), 2);
        let part = modules.part("1").unwrap();
        assert!(lists(&part.dir.join("cgroup.controllers"), controller));
        // A cgroup that distributes a controller can't hold a process, but its children can.
        let (mut module, _) = start(&part);
        if *controller == "cpu" {
            part.limit_cpu(0.5).unwrap();
            assert_eq!(fs::read_to_string(part.dir.join("cpu.max")).unwrap(), "50000 100000\n");
        }
        modules.share_out(controller, other_pid).unwrap();

        for child in [&mut host, &mut module] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
        while own.is_populated() {
            std::thread::yield_now();
        }
        let dir = top.dir.clone();
        drop((part, modules, own, top));
        if !was_shared_out {
            // Restores the state before. The system refuses that if another cgroup needs the controller by now.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("-{controller}"));
        }
        assert!(!dir.exists());
    }

    #[test]
    fn a_part_of_the_processors_is_a_quota_of_each_period() {
        for (cpu, text) in [
            (1.5, "150000 100000"),
            (1.0, "100000 100000"),
            (0.333_333, "33333 100000"),
            (0.01, "1000 100000"),
            (64.0, "6400000 100000"),
            (1e300, "1000000000000 100000"),
        ] {
            assert_eq!(quota(cpu), text);
        }
    }

    #[test]
    fn the_own_cgroup_is_found_where_it_is_mounted() {
        let unified = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(place(unified, "0::/user.slice/a.scope\n"), Some("/sys/fs/cgroup/user.slice/a.scope".into()));
        assert_eq!(place(unified, "0::/\n"), Some("/sys/fs/cgroup".into()));
        let hybrid = "30 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      31 25 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n";
        let own = "1:name=systemd:/x\n0::/x\n";
        assert_eq!(place(hybrid, own), Some("/sys/fs/cgroup/unified/x".into()));
        let container = "40 25 0:30 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(place(container, "0::/docker/abc/ixt\n"), Some("/sys/fs/cgroup/ixt".into()));
        assert_eq!(place(container, "0::/elsewhere\n"), None);
        assert_eq!(place(unified, "0::/../outside\n"), None);
        assert_eq!(place(unified, "1:name=systemd:/x\n"), None);
        assert_eq!(place("", own), None);
    }
}
