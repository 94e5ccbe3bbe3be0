//! A cgroup for what a host starts, where the system lets it make one (cgroup v2): what is in it can be found and killed whatever it
//! does to get away. Found by the mounts of this process, since there are hybrid ones, and containers.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// A cgroup of this host's. It is removed when this is dropped, if nothing is in it any more.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// A new one within that of this process; nothing, if that is not possible.
    pub(crate) fn create(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::create_in(&place(&mounts, &own)?, name)
    }

    /// A new one within this.
    pub(crate) fn part(&self, name: &str) -> Option<Self> {
        Self::create_in(&self.dir, name)
    }

    /// That of a host that is gone.
    pub(crate) fn left(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn create_in(parent: &Path, name: &str) -> Option<Self> {
        let dir = parent.join(name);
        fs::create_dir(&dir).ok()?;
        let cgroup = Self { dir };
        // Kernels before 5.14 can't kill one.
        cgroup.dir.join("cgroup.kill").exists().then_some(cgroup)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a process into it, with all that it will start.
    pub(crate) fn add(&self, pid: Pid) {
        // Where that is not allowed, it is found by its mark.
        let _ = fs::write(self.dir.join("cgroup.procs"), pid.as_raw_nonzero().to_string());
    }

    /// Whether there is a process in it, or in a part of it.
    pub(crate) fn is_populated(&self) -> bool {
        fs::read_to_string(self.dir.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// The processes in it and in its parts.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        for dir in self.parts().into_iter().chain([self.dir.clone()]) {
            let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            pids.extend(listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
        }
        pids
    }

    /// Kills all that is in it and in its parts.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.dir.join("cgroup.kill"), "1");
    }

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

/// The directory of a process's own cgroup, by what `/proc/self/mountinfo` and `/proc/self/cgroup` say.
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
        let Some(cgroup) = Cgroup::create(&format!("ixt-test-{}", std::process::id())) else {
            return eprintln!("not told here: there is no cgroup v2 in which this user can make one");
        };
        let part = cgroup.part("1").unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read -r line; setsid sleep 3600 & setsid sleep 3600"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        part.add(Pid::from_child(&child));
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
