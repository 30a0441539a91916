//! Debian packages that are unpacked into the user's cache and not installed: an installed server is a service that
//! starts by itself, and building one takes minutes. Touches nothing outside that cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::folders;
use crate::process::{self, Progress};

/// What judges alerts and dashboards.
const PROMETHEUS: (&str, [&str; 2]) = ("prometheus", ["prometheus", "promtool"]);

/// The package that names the one of the distribution's version.
const POSTGRES: &str = "postgresql";

/// Where its packages have the programs, in a folder for each version.
const POSTGRES_VERSIONS: &str = "usr/lib/postgresql";

/// The server's programs.
const POSTGRES_PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// The programs of Prometheus.
pub(crate) fn prometheus(progress: Progress) -> Result<Vec<(&'static str, PathBuf)>> {
    let (package, programs) = PROMETHEUS;
    let folder = cache(package)?;
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
    unpack(package, &folder, progress, || Ok(vec![package.to_owned()]))?;
    Ok(found.into())
}

/// The folder of the programs of a PostgreSQL server, with the libraries that the machine lacks beside it, as the
/// packages have them.
pub(crate) fn postgres(progress: Progress) -> Result<PathBuf> {
    let folder = cache(POSTGRES)?;
    if let Some(programs) = postgres_in(&folder) {
        return Ok(programs);
    }
    if process::find("apt-get").is_none() {
        let programs = process::find("initdb").and_then(|path| Some(path.parent()?.to_owned()));
        return programs.with_context(|| format!("install {POSTGRES}: initdb is not in PATH"));
    }
    unpack(POSTGRES, &folder, progress, || {
        let depends = read(&["apt-cache", "depends", POSTGRES])?;
        let server = server(&depends).context("find the version of postgresql")?;
        let plan = "apt-get install --simulate --no-install-recommends";
        let plan: Vec<_> = plan.split(' ').chain([server]).collect();
        Ok(with_missing(server, &read(&plan)?))
    })?;
    postgres_in(&folder).with_context(|| format!("find {POSTGRES_PROGRAMS:?} in its package"))
}

/// The newest below a root.
fn postgres_in(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root.join(POSTGRES_VERSIONS)).ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let is_whole = |folder: &PathBuf| {
        let mut programs = POSTGRES_PROGRAMS.iter();
        programs.all(|program| folder.join(program).exists())
    };
    folders.filter(is_whole).max()
}

/// The package that `apt-cache depends` names, `Depends: postgresql-15`.
fn server(depends: &str) -> Option<&str> {
    let lines = depends.lines().map(str::trim);
    let mut names = lines.filter_map(|line| line.strip_prefix("Depends: "));
    names.find(|name| name.starts_with("postgresql-"))
}

/// A package and those that it needs and the machine does not have: `Inst libllvm14 (1:14.0.6-12 …)`.
fn with_missing(package: &str, plan: &str) -> Vec<String> {
    let lines = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let mut all: Vec<_> = lines.chain([package]).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

fn cache(package: &str) -> Result<PathBuf> {
    Ok(folders::tools()?.join(format!("debian-{package}")))
}

fn read(words: &[&str]) -> Result<String> {
    let output = process::output(&mut process::words(&words.join(" ")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Unpacks what is named, together. A machine that never ran apt has no package lists, and old ones name what
/// is no more.
fn unpack(
    what: &str,
    folder: &Path,
    progress: Progress,
    packages: impl Fn() -> Result<Vec<String>>,
) -> Result<()> {
    progress.say(format!("unpacking the Debian package {what}"));
    let scratch = folders::tools()?.join(format!("debian-{what}-{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("make {}", scratch.display()))?;
    let download = || {
        let mut download = Command::new("apt-get");
        download.arg("download").args(packages()?);
        process::output(download.current_dir(&scratch))
    };
    if download().is_err() {
        process::output(Command::new("apt-get").arg("update")).context("update package lists")?;
        download().with_context(|| format!("download the package {what}"))?;
    }
    let unpack = "for one in ./*.deb; do dpkg-deb --extract \"$one\" . || exit; rm \"$one\"; done";
    process::output(
        Command::new("sh")
            .args(["-c", unpack])
            .current_dir(&scratch),
    )
    .with_context(|| format!("unpack the package {what}"))?;
    // Another run may have been faster; its programs are the same.
    if fs::rename(&scratch, folder).is_err() {
        fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_one_that_the_distribution_has() {
        let depends = "postgresql\n  Depends: postgresql-15\n  Suggests: postgresql-doc\n";
        assert_eq!(server(depends), Some("postgresql-15"));
        assert_eq!(server("postgresql\n"), None);
    }

    #[test]
    fn what_the_machine_lacks_comes_with_it() {
        let plan = "Reading package lists...\nInst libllvm14 (1:14.0.6-12 Debian:12)\n\
            Inst postgresql-15 [15.1] (15.2 Debian:12)\nConf libllvm14 (1:14.0.6-12 Debian:12)\n";
        assert_eq!(
            with_missing("postgresql-15", plan),
            ["libllvm14", "postgresql-15"]
        );
        assert_eq!(with_missing("postgresql-15", ""), ["postgresql-15"]);
    }
}
