//! The programs that a cluster, the e2e tests and the audit take from the machine rather than building them, and the
//! Debian packages that hold them. Installs what is missing where it may, says what is missing where not.

mod unpack;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Progress};
pub(crate) use unpack::{postgres, prometheus};

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

/// What judges the scripts of workflows. Haskell's, so nobody wants to build it.
const SHELLCHECK: &str = "shellcheck";

/// Makes sure that every program of a cluster is there.
pub(crate) fn install(progress: Progress) -> Result<()> {
    install_all(PROGRAMS, progress)
}

/// Makes sure that every server of the e2e tests is there.
pub(crate) fn install_servers(progress: Progress) -> Result<()> {
    install_all(SERVERS, progress)
}

/// The judge of shell scripts.
pub(crate) fn shellcheck(progress: Progress) -> Result<PathBuf> {
    install_all(&[(SHELLCHECK, SHELLCHECK)], progress)?;
    process::find(SHELLCHECK).context("find shellcheck")
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
