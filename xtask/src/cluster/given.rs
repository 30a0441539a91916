//! A cluster that somebody else runs, named by a kubeconfig. It is used and never started or stopped.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::kind;
use crate::process;

/// A cluster by kubeconfig and context.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(super) kubeconfig: PathBuf,
    pub(super) context: String,
    /// Holds the kubeconfig that has only this context, for programs that take no `--context`.
    pub(super) one_context: PathBuf,
}

impl Given {
    /// Without a kubeconfig the usual one is meant.
    pub(super) fn new(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self> {
        let kubeconfig = match kubeconfig {
            Some(file) => std::path::absolute(file).context("find the kubeconfig")?,
            None => usual_kubeconfig()?,
        };
        if !kubeconfig.is_file() {
            bail!("there is no kubeconfig {}", kubeconfig.display());
        }
        if process::find("kubectl").is_none() {
            bail!("kubectl is not installed: a cluster that is given by a kubeconfig needs it");
        }
        let kubectl = |arguments: &[&str]| -> Result<Vec<u8>> {
            let mut command = Command::new("kubectl");
            command
                .arg("config")
                .args(arguments)
                .env("KUBECONFIG", &kubeconfig);
            Ok(process::output(&mut command)?.stdout)
        };
        let context = match context {
            Some(context) => context.to_owned(),
            None => String::from_utf8_lossy(&kubectl(&["current-context"])?)
                .trim()
                .to_owned(),
        };
        let text = kubectl(&[
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--context",
            &context,
        ])?;
        let folder = crate::folders::target()?.join("kubeconfigs");
        std::fs::create_dir_all(&folder).context("make the folder of kubeconfigs")?;
        let one_context = folder.join(crate::image::digest_of(&text));
        write_private(&one_context, &text)?;
        Ok(Self {
            kubeconfig,
            context,
            one_context,
        })
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", &self.one_context);
        command
    }

    pub(super) fn load(&self, archive: &Path) -> Result<()> {
        match self.context.strip_prefix("kind-") {
            Some(name) => kind::load(name, archive),
            None => bail!(
                "images cannot be loaded into the nodes of {}: push {} to a registry that it pulls from, \
                 such as `docker load --input FILE`, `docker tag`, `docker push`, \
                 or `crane push FILE REGISTRY/NAME:TAG`, and set image.repository in the chart",
                self.context,
                archive.display()
            ),
        }
    }
}

fn usual_kubeconfig() -> Result<PathBuf> {
    match std::env::var_os("KUBECONFIG") {
        Some(file) => Ok(PathBuf::from(file)),
        None => Ok(std::env::home_dir()
            .context("HOME is not set")?
            .join(".kube/config")),
    }
}

/// It holds credentials.
fn write_private(file: &Path, text: &[u8]) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(text))
        .with_context(|| format!("write {}", file.display()))
}
