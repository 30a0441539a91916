//! What a cluster's first process, and that of each further node, does to its own namespaces before
//! anything runs in them: mounts and network. Never called outside of them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags};

use super::node::{ADDRESS, BRIDGE, CLIENT_ADDRESSES, INSIDE, Node};
use crate::process::{self, words};

/// Files of the kernel that the kubelet sets for the whole machine (`setupKernelTunables` in
/// `pkg/kubelet/cm/container_manager_linux.go`), and the values it wants to see. It is shown these,
/// so that it leaves the machine's alone.
const SHOWN_TO_THE_KUBELET: [(&str, &str); 6] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/panic_on_oom", "0"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
];

/// Where components write though nobody can tell them otherwise, by the folder around it: the results
/// of network plugins, the sockets of device plugins, links to logs.
const FIXED_PLACES: [(&str, &[&str]); 2] = [
    ("/var/lib", &["cni", "kubelet"]),
    ("/var/log", &["containers"]),
];

/// Gives the namespace a /run of its own with the cluster's folder in it. `folder` is that folder as
/// the process sees it now, `scratch` a folder to build the new /run in.
pub(super) fn mount(folder: &Path, scratch: &Path, is_first: bool) -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "not the first process of a namespace"
    );
    fs::create_dir_all(scratch).context("make a folder for /run")?;
    rustix::mount::mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), c"mode=755")
        .context("mount a tmpfs for /run")?;
    let inside = scratch.join("graceful");
    fs::create_dir(&inside).context("make the folder inside /run")?;
    rustix::mount::mount_bind(folder, &inside).context("bind the cluster's folder")?;
    // The user's folder may lie on a mount that forbids what pods need; empty flags allow it.
    rustix::mount::mount_remount(&inside, MountFlags::BIND, c"")
        .context("allow programs and devices in the cluster's folder")?;
    rustix::mount::mount_move(scratch, "/run").context("move the new /run into its place")?;
    for (folder, places) in FIXED_PLACES {
        if !is_first {
            rustix::mount::unmount(folder, UnmountFlags::DETACH)
                .with_context(|| format!("uncover {folder}"))?;
        }
        cover(Path::new(folder), places).with_context(|| format!("cover {folder}"))?;
    }
    show_to_the_kubelet()
}

/// Gives the namespace the `places` in a folder of the machine for its own, whether the machine has
/// them or not. All else in the folder stays the machine's: a home may well lie below it.
fn cover(folder: &Path, places: &[&str]) -> Result<()> {
    let real = Path::new("/run/machine").join(folder.strip_prefix("/").unwrap_or(folder));
    fs::create_dir_all(&real)?;
    rustix::mount::mount_bind_recursive(folder, &real)?;
    rustix::mount::mount("tmpfs", folder, "tmpfs", MountFlags::empty(), c"mode=755")?;
    for entry in fs::read_dir(&real)? {
        let entry = entry?;
        let name = entry.file_name();
        if places.iter().any(|place| name == *place) {
            continue;
        }
        let (kind, shown) = (entry.file_type()?, folder.join(&name));
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &shown)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&shown)?;
        } else {
            File::create(&shown)?;
        }
        rustix::mount::mount_bind_recursive(entry.path(), &shown)
            .with_context(|| format!("show {}", shown.display()))?;
    }
    Ok(())
}

fn show_to_the_kubelet() -> Result<()> {
    let folder = Path::new("/run/kernel");
    fs::create_dir(folder).context("make a folder for kernel values")?;
    for (file, value) in SHOWN_TO_THE_KUBELET {
        if !Path::new(file).exists() {
            continue;
        }
        let shown = folder.join(file.replace('/', "_"));
        fs::write(&shown, value).context("write a kernel value")?;
        rustix::mount::mount_bind(&shown, file).with_context(|| format!("cover {file}"))?;
    }
    Ok(())
}

fn ip(line: &str) -> Result<()> {
    process::output(&mut words(&format!("ip {line}")))?;
    Ok(())
}

/// The network of the first node: a bridge with its address, and everything else goes there too, so
/// that addresses of Services have a route for kube-proxy to act on.
pub(super) fn first_network() -> Result<()> {
    ip("link set lo up")?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add {ADDRESS}/24 dev {BRIDGE}"))?;
    for last in CLIENT_ADDRESSES {
        ip(&format!("address add 10.10.0.{last}/24 dev {BRIDGE}"))?;
    }
    ip(&format!("link set {BRIDGE} up"))?;
    ip(&format!("route add default dev {BRIDGE} src {ADDRESS}"))?;
    forward()
}

/// Plugs a further node into the first one's bridge; `process` is the node's, in a network of its own.
pub(super) fn plug_in(node: Node, process: u32) -> Result<()> {
    let cable = node.name();
    ip(&format!(
        "link add {cable} type veth peer name eth0 netns {process}"
    ))?;
    ip(&format!("link set {cable} master {BRIDGE} up"))?;
    ip(&format!(
        "route add {} via {}",
        node.pod_range(),
        node.address()
    ))
}

/// The network of a further node, as soon as it is plugged in.
pub(super) fn further_network(node: Node) -> Result<()> {
    ip("link set lo up")?;
    process::wait_for("the node's network device", Duration::from_secs(30), || {
        Ok(ip("link show eth0").ok())
    })?;
    ip(&format!("address add {}/24 dev eth0", node.address()))?;
    ip("link set eth0 up")?;
    ip(&format!("route add default via {ADDRESS}"))?;
    forward()
}

fn forward() -> Result<()> {
    set("/proc/sys/net/ipv4/ip_forward", "1")?;
    // From pod to pod on one bridge through a Service: the answer must pass connection tracking too.
    let bridge = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if Path::new(bridge).exists() {
        set(bridge, "1")?;
    }
    Ok(())
}

fn set(file: &str, value: &str) -> Result<()> {
    fs::write(file, value).with_context(|| format!("write {file}"))
}

/// Whether the node's first process has left this process's network.
pub(super) fn has_own_network(process: u32) -> bool {
    match (
        fs::read_link("/proc/self/ns/net"),
        fs::read_link(format!("/proc/{process}/ns/net")),
    ) {
        (Ok(own), Ok(other)) => own != other,
        _ => false,
    }
}

/// The log of a component, as it is seen inside.
pub(super) fn log(name: &str) -> std::path::PathBuf {
    Path::new(INSIDE).join("log").join(format!("{name}.log"))
}
