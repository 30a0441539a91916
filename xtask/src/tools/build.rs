//! Builds one set of Go programs into the cache, once: whoever comes second waits for the first, and
//! a build that was cut short leaves nothing that looks finished.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Set, required_version};
use crate::folders;
use crate::process::{self, Progress};

/// How often a long build says that it is still at work.
const STILL_BUILDING: Duration = Duration::from_secs(30);

const UNFINISHED: &str = ".unfinished";

/// The folder that holds the set's programs.
pub(super) fn build(set: &Set, progress: Progress) -> Result<PathBuf> {
    let source = set.source()?;
    let go_mod = fs::read_to_string(source.join("go.mod")).context("read go.mod")?;
    let version = required_version(&go_mod, set.module);
    let arguments = set.build_arguments(version);
    let cache = folders::tools()?;
    let folder = cache.join(format!("{}-{}", set.name, set.key(&source, &arguments)?));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).with_context(|| format!("make {}", cache.display()))?;
    let _lock = lock(&folder.with_extension("lock"), set, progress)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    if process::find("go").is_none() {
        bail!("Go is not installed: install Go 1.26 or newer (https://go.dev/dl) and try again");
    }
    let unfinished = fresh_folder(&folder)?;
    let started = Instant::now();
    let what = [set.name, version.unwrap_or_default()].join(" ");
    progress.say(format!(
        "building {} (once; kept in {})",
        what.trim_end(),
        cache.display()
    ));
    compile(set, &source, &unfinished, &arguments, progress)?;
    fs::rename(&unfinished, &folder).context("put the build in its place")?;
    progress.say(format!(
        "built {} in {:.0} s",
        set.name,
        started.elapsed().as_secs_f64()
    ));
    Ok(folder)
}

/// An empty folder to build in, beside the one for the result. Its name is not used twice: the compiler
/// of a build that was killed may still be writing to that one's.
fn fresh_folder(result: &Path) -> Result<PathBuf> {
    let (parent, name) = (result.parent(), result.file_name().and_then(|n| n.to_str()));
    let (Some(parent), Some(name)) = (parent, name) else {
        bail!("{} is no folder for a build", result.display());
    };
    for entry in fs::read_dir(parent).context("look for unfinished builds")? {
        let path = entry.context("look for unfinished builds")?.path();
        let other = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if other.starts_with(name) && other.ends_with(UNFINISHED) {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    let folder = parent.join(format!("{name}.{}{UNFINISHED}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// Held by the one that builds; the kernel drops it with the process, however that ends.
fn lock(path: &Path, set: &Set, progress: Progress) -> Result<File> {
    let file = File::create(path).with_context(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        progress.say(format!("waiting for another build of {}", set.name));
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

fn compile(
    set: &Set,
    source: &Path,
    into: &Path,
    arguments: &[String],
    progress: Progress,
) -> Result<()> {
    let mut to = into.as_os_str().to_owned();
    // The slash makes Go treat it as a folder and build every package named.
    to.push("/");
    let log = into.join("go.log");
    let mut go = Command::new("go")
        .args(arguments)
        .arg("-o")
        .arg(to)
        .args(set.programs.iter().map(|(_, package)| package))
        .current_dir(source)
        // Static programs that need no C compiler to build.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).context("open the build's log")?)
        .spawn()
        .context("start go")?;
    let started = Instant::now();
    let mut said = started;
    let status = loop {
        if let Some(status) = go.try_wait().context("wait for go")? {
            break status;
        }
        if said.elapsed() > STILL_BUILDING {
            said = Instant::now();
            progress.say(format!(
                "still building {}, {:.0} s so far",
                set.name,
                started.elapsed().as_secs_f64()
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        bail!("go build: {status}\n{}", process::last_lines_of(&log, 20));
    }
    fs::remove_file(&log).context("remove the build's log")?;
    for (name, package) in set.programs {
        let built = into.join(go_name(package));
        if built.is_file() && go_name(package) != *name {
            fs::rename(&built, into.join(name)).with_context(|| format!("name {name}"))?;
        }
        if !into.join(name).is_file() {
            bail!("go built no {name} from {package}");
        }
    }
    Ok(())
}

/// The name that Go gives the program of a package: the last part of its path that is no version.
fn go_name(package: &str) -> &str {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|digits| digits.parse::<u32>().is_ok())
    };
    package
        .rsplit('/')
        .find(|part| !is_version(part))
        .unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_that_was_cut_short_is_removed() {
        let parent = std::env::temp_dir().join(format!("graceful-build-{}", std::process::id()));
        let (cut_short, other) = (parent.join("etcd-1.7.unfinished"), parent.join("cni-1"));
        for folder in [&cut_short, &other] {
            fs::create_dir_all(folder.join("in")).unwrap();
        }
        let fresh = fresh_folder(&parent.join("etcd-1")).unwrap();
        assert!(fresh.is_dir() && other.is_dir() && !cut_short.exists());
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn program_is_named_as_go_names_it() {
        assert_eq!(go_name("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(go_name("helm.sh/helm/v4/cmd/helm"), "helm");
        assert_eq!(go_name("k8s.io/kubernetes/cmd/kubelet"), "kubelet");
    }
}
