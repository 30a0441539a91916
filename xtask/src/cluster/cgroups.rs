//! The control groups of a cluster's nodes: one per node, below the root of every hierarchy, in both
//! versions of cgroups. Made before a kubelet starts, which refuses a root that is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process;

/// What a kubelet accounts and limits, and whether it refuses a group that lacks one which the root
/// has (`Exists` in `pkg/kubelet/cm/cgroup_v2_manager_linux.go`).
const CONTROLLERS: [(&str, bool); 6] = [
    ("cpu", true),
    ("cpuset", true),
    ("memory", true),
    ("pids", true),
    ("io", false),
    ("hugetlb", true),
];

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    is_v2: bool,
}

/// Makes the group in every hierarchy.
pub(super) fn make(name: &str) -> Result<()> {
    for hierarchy in mounted()? {
        let group = hierarchy.mount.join(name);
        if hierarchy.is_v2 {
            // Has no controllers where version 1 has taken them all.
            enable_controllers(&hierarchy.mount)?;
        }
        make_folder(&group).with_context(|| {
            format!(
                "make the control group {} (is it writable?)",
                group.display()
            )
        })?;
        if hierarchy.is_v2 {
            enable_controllers(&group)?;
        } else {
            // Version 1 starts a cpuset empty, and nothing runs in an empty one.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(hierarchy.mount.join(file)) {
                    fs::write(group.join(file), value)
                        .with_context(|| format!("set {file} of {}", group.display()))?;
                }
            }
        }
    }
    Ok(())
}

/// Removes the group with everything below it, in every hierarchy. Its processes are gone already, but
/// the kernel takes a moment to let go of them.
pub(super) fn remove(name: &str) -> Result<()> {
    for hierarchy in mounted()? {
        let group = hierarchy.mount.join(name);
        process::wait_for(
            &format!("the control group {} to get empty", group.display()),
            Duration::from_secs(15),
            || Ok(remove_tree(&group).ok()),
        )?;
    }
    Ok(())
}

/// Whether any hierarchy has the group.
pub(super) fn exists(name: &str) -> Result<bool> {
    Ok(mounted()?
        .iter()
        .any(|hierarchy| hierarchy.mount.join(name).is_dir()))
}

fn mounted() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the list of mounts")?;
    Ok(hierarchies(&mounts))
}

/// The hierarchies in a list of mounts; the first mount of each, should it be mounted twice.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, mount, kind, ..] = fields.as_slice() else {
            continue;
        };
        if matches!(*kind, "cgroup" | "cgroup2") && mount.starts_with("/sys/fs/cgroup") {
            let hierarchy = Hierarchy {
                mount: PathBuf::from(mount),
                is_v2: *kind == "cgroup2",
            };
            if !found.contains(&hierarchy) {
                found.push(hierarchy);
            }
        }
    }
    found
}

fn make_folder(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Lets the children of a version 2 group use the controllers that it has. None is missed where the
/// group has none at all: then version 1 has taken them.
fn enable_controllers(group: &Path) -> Result<()> {
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
    let has = read("cgroup.controllers");
    let enabled = read("cgroup.subtree_control");
    let control = group.join("cgroup.subtree_control");
    for (controller, is_needed) in CONTROLLERS {
        let lists = |list: &str| list.split_whitespace().any(|name| name == controller);
        if !lists(&has) || lists(&enabled) {
            continue;
        }
        // One at a time: the kernel takes all of a write or nothing.
        let enable = || fs::write(&control, format!("+{controller}"));
        if enable().is_ok() || !is_needed {
            continue;
        }
        // A container's root group has processes, and a group with processes may not have children
        // with controllers (cgroup-v2.rst, "no internal processes"). Docker in Docker steps aside too.
        step_aside(group)?;
        enable().with_context(|| format!("enable {controller} in {}", control.display()))?;
    }
    Ok(())
}

/// Moves the processes of a container's root group into a child of it.
fn step_aside(group: &Path) -> Result<()> {
    let child = group.join("graceful-init");
    make_folder(&child).with_context(|| format!("make {}", child.display()))?;
    let processes = fs::read_to_string(group.join("cgroup.procs")).context("list processes")?;
    for process in processes.lines() {
        // Gone since, or a thread of the kernel's that stays where it is.
        let _ = fs::write(child.join("cgroup.procs"), process);
    }
    Ok(())
}

/// Removes a group, children first: a group's folder holds files that only go with it.
fn remove_tree(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_machine_has_both_versions() {
        let found = hierarchies(
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
             cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
             cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
        );
        assert_eq!(found.len(), 3);
        assert_eq!(found.iter().filter(|h| h.is_v2).count(), 1);
    }

    #[test]
    fn controllers_that_are_off_are_turned_on() {
        let group = std::env::temp_dir().join(format!("graceful-cgroup-{}", std::process::id()));
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.controllers"), "cpuset cpu memory rdma\n").unwrap();
        fs::write(group.join("cgroup.subtree_control"), "cpuset cpu\n").unwrap();
        enable_controllers(&group).unwrap();
        // Only the last write is left in an ordinary file.
        let written = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap();
        fs::remove_dir_all(&group).unwrap();
        assert_eq!(written, "+memory");
    }

    #[test]
    fn unified_machine_has_one() {
        let found = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!(
            found,
            [Hierarchy {
                mount: "/sys/fs/cgroup".into(),
                is_v2: true
            }]
        );
    }
}
