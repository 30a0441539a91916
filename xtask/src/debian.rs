//! The programs that a cluster and the e2e tests take from the machine rather than building them, and the
//! Debian packages that hold them. Installs what is missing where it may, says what is missing where not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::folders;
use crate::process::{self, Progress};

/// Program and package. Each talks to the kernel, so the distribution's own build is the one to trust.
const PROGRAMS: &[(&str, &str)] = &[
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
];

/// What the e2e tests' own workloads work with.
const SERVERS: &[(&str, &str)] = &[("redis-server", "redis-server")];

/// The database of the stage works. Its programs are not in PATH, but what finds them is.
const DATABASE: &[(&str, &str)] = &[("pg_ctlcluster", "postgresql")];

/// What judges alerts and dashboards. Unpacked and not installed: an installed Prometheus is a service that
/// starts by itself, and building it takes minutes.
const PROMETHEUS: (&str, [&str; 2]) = ("prometheus", ["prometheus", "promtool"]);

/// The programs of a package that is unpacked into the user's cache, once.
pub(crate) fn unpacked(progress: Progress) -> Result<Vec<(&'static str, PathBuf)>> {
    let (package, programs) = PROMETHEUS;
    let folder = folders::tools()?.join(format!("debian-{package}"));
    let found = programs.map(|program| (program, folder.join("usr/bin").join(program)));
    if found.iter().all(|(_, path)| path.exists()) {
        return Ok(found.into());
    }
    // What is on the machine does as well, where it is not Debian's kind.
    if process::find("apt-get").is_none() {
        let found = programs.map(|program| process::find(program).map(|path| (program, path)));
        let found: Option<Vec<_>> = found.into_iter().collect();
        return found.with_context(|| format!("install {package}: {programs:?} are not in PATH"));
    }
    progress.say(format!("unpacking the Debian package {package}"));
    let scratch = folders::tools()?.join(format!("debian-{package}-{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("make {}", scratch.display()))?;
    let download = || {
        let mut download = Command::new("apt-get");
        process::output(download.args(["download", package]).current_dir(&scratch))
    };
    if download().is_err() {
        process::output(Command::new("apt-get").arg("update")).context("update package lists")?;
        download().with_context(|| format!("download the package {package}"))?;
    }
    let unpack = "dpkg-deb --extract ./*.deb . && rm ./*.deb";
    process::output(
        Command::new("sh")
            .args(["-c", unpack])
            .current_dir(&scratch),
    )
    .with_context(|| format!("unpack the package {package}"))?;
    // Another run may have been faster; its programs are the same.
    if fs::rename(&scratch, &folder).is_err() {
        fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    }
    Ok(found.into())
}

/// Makes sure that every program of a cluster is there.
pub(crate) fn install(progress: Progress) -> Result<()> {
    install_all(PROGRAMS, progress)
}

/// Makes sure that every server of the e2e tests is there.
pub(crate) fn install_servers(progress: Progress) -> Result<()> {
    install_all(SERVERS, progress)
}

/// Makes sure that the database of the stage works is there.
pub(crate) fn install_database(progress: Progress) -> Result<()> {
    install_all(DATABASE, progress)
}

fn install_all(programs: &[(&str, &'static str)], progress: Progress) -> Result<()> {
    let missing = missing(programs, |program| process::find(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() || process::find("apt-get").is_none() {
        bail!("missing packages: {list}\ninstall them as root, on Debian: apt-get install {list}");
    }
    progress.say(format!("installing Debian packages: {list}"));
    if apt_install(&missing).is_err() {
        // A machine that never ran apt has no package lists.
        process::output(Command::new("apt-get").arg("update")).context("update package lists")?;
        apt_install(&missing).with_context(|| format!("install {list}"))?;
    }
    Ok(())
}

fn apt_install(packages: &[&str]) -> Result<()> {
    process::output(
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // A package's own service is not wanted: in the single-user runlevel none is started.
            .env("RUNLEVEL", "1"),
    )?;
    Ok(())
}

fn missing(
    programs: &[(&str, &'static str)],
    is_there: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_of_each_missing_program_is_named_once() {
        assert_eq!(
            missing(PROGRAMS, |program| !["nft", "unshare", "nsenter"]
                .contains(&program)),
            ["nftables", "util-linux"]
        );
        assert!(missing(PROGRAMS, |_| true).is_empty());
    }
}
