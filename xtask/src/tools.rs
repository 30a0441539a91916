//! The Go programs of a cluster: which ones, of which module, and where their builds are kept.
//! Versions live in the go.mod of each set under xtask/tools, pinned by its go.sum; here is only how to
//! build them. One more program is one more line in `SETS`.

mod build;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::folders;
use crate::process::Progress;

/// Programs that are built together, from one Go module.
pub(crate) struct Set {
    /// The folder under xtask/tools.
    name: &'static str,
    /// The module whose version the programs are to report, where they report one.
    module: &'static str,
    /// Go variables that take that version: without them each component calls itself v0.0.0-master,
    /// and helm refuses charts by version.
    version_variables: &'static [&'static str],
    tags: &'static [&'static str],
    /// Name of the program and its Go package.
    programs: &'static [(&'static str, &'static str)],
}

const SETS: &[Set] = &[
    Set {
        name: "pause",
        module: "",
        version_variables: &[],
        tags: &[],
        programs: &[("pause", ".")],
    },
    Set {
        name: "cni",
        module: "github.com/containernetworking/plugins",
        version_variables: &[],
        tags: &[],
        programs: &[
            (
                "bridge",
                "github.com/containernetworking/plugins/plugins/main/bridge",
            ),
            (
                "loopback",
                "github.com/containernetworking/plugins/plugins/main/loopback",
            ),
            (
                "host-local",
                "github.com/containernetworking/plugins/plugins/ipam/host-local",
            ),
            (
                "portmap",
                "github.com/containernetworking/plugins/plugins/meta/portmap",
            ),
        ],
    },
    Set {
        name: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        version_variables: &[],
        tags: &[],
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    },
    Set {
        name: "containerd",
        module: "github.com/containerd/containerd/v2",
        version_variables: &["github.com/containerd/containerd/v2/version.Version"],
        tags: &["no_btrfs", "no_devmapper", "no_zfs"],
        programs: &[
            (
                "containerd",
                "github.com/containerd/containerd/v2/cmd/containerd",
            ),
            (
                "containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            ),
            ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ],
    },
    Set {
        name: "kubernetes",
        module: "k8s.io/kubernetes",
        version_variables: &[
            "k8s.io/component-base/version.gitVersion",
            "k8s.io/client-go/pkg/version.gitVersion",
        ],
        tags: &[],
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            (
                "kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-controller-manager",
            ),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
    },
    Set {
        name: "helm",
        module: "helm.sh/helm/v4",
        version_variables: &["helm.sh/helm/v4/internal/version.version"],
        tags: &[],
        programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    },
    // The other line that people install charts with.
    Set {
        name: "helm3",
        module: "helm.sh/helm/v3",
        version_variables: &["helm.sh/helm/v3/internal/version.version"],
        tags: &[],
        programs: &[("helm3", "helm.sh/helm/v3/cmd/helm")],
    },
];

/// Judges the workflows of the repository; no part of a cluster.
const ACTIONLINT: Set = Set {
    name: "actionlint",
    module: "github.com/rhysd/actionlint",
    version_variables: &[],
    tags: &[],
    programs: &[("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")],
};

/// Judges what charts render; no part of a cluster.
const KUBE_SCORE: Set = Set {
    name: "kube-score",
    module: "github.com/zegl/kube-score",
    version_variables: &[],
    tags: &[],
    programs: &[("kube-score", "github.com/zegl/kube-score/cmd/kube-score")],
};

/// Judges manifests by the schemas of their kinds; no part of a cluster.
const KUBECONFORM: Set = Set {
    name: "kubeconform",
    module: "github.com/yannh/kubeconform",
    version_variables: &[],
    tags: &[],
    programs: &[(
        "kubeconform",
        "github.com/yannh/kubeconform/cmd/kubeconform",
    )],
};

/// Scrapes nothing but the API server; no part of a cluster.
const STATE_METRICS: Set = Set {
    name: "kube-state-metrics",
    module: "k8s.io/kube-state-metrics/v2",
    version_variables: &[],
    tags: &[],
    programs: &[("kube-state-metrics", "k8s.io/kube-state-metrics/v2")],
};

/// kube-state-metrics, built where it is not in the cache yet: some three minutes.
pub(crate) fn state_metrics() -> Result<PathBuf> {
    one(&STATE_METRICS)
}

/// The linter of workflows, built where it is not in the cache yet.
pub(crate) fn actionlint() -> Result<PathBuf> {
    one(&ACTIONLINT)
}

/// The judge of manifests, built where it is not in the cache yet.
pub(crate) fn kube_score() -> Result<PathBuf> {
    one(&KUBE_SCORE)
}

/// The judge of manifests by schemas, built where it is not in the cache yet.
pub(crate) fn kubeconform() -> Result<PathBuf> {
    one(&KUBECONFORM)
}

/// The helm of clusters, built where it is not in the cache yet.
pub(crate) fn helm() -> Result<PathBuf> {
    let set = SETS.iter().find(|set| set.name == "helm");
    one(set.context("find helm")?)
}

/// The program of a set that is named after it.
fn one(set: &Set) -> Result<PathBuf> {
    let folder = build::build(set, Progress::start());
    let folder = folder.with_context(|| format!("build {}", set.name))?;
    Ok(folder.join(set.name))
}

/// Builds what is not in the cache yet and gives every program with its path.
pub(crate) fn all(progress: Progress) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut programs = Vec::new();
    for set in SETS {
        let folder = build::build(set, progress)
            .with_context(|| format!("build the {} programs", set.name))?;
        programs.extend(
            set.programs
                .iter()
                .map(|(name, _)| (*name, folder.join(name))),
        );
    }
    Ok(programs)
}

/// The version of Kubernetes that clusters run.
pub(crate) fn kubernetes_version() -> Result<String> {
    let set = SETS.iter().find(|set| set.name == "kubernetes");
    let set = set.context("find the Kubernetes programs")?;
    let go_mod = std::fs::read_to_string(set.source()?.join("go.mod")).context("read go.mod")?;
    let version = required_version(&go_mod, set.module).context("find their version")?;
    Ok(version.to_owned())
}

impl Set {
    fn source(&self) -> Result<PathBuf> {
        Ok(folders::workspace()?.join("xtask/tools").join(self.name))
    }

    /// Everything after `go`, but for where the result goes.
    fn build_arguments(&self, version: Option<&str>) -> Vec<String> {
        let mut linker = String::from("-s -w");
        if let Some(version) = version {
            for variable in self.version_variables {
                linker.extend([" -X ", variable, "=", version]);
            }
        }
        let mut arguments: Vec<String> = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
            .map(String::from)
            .to_vec();
        if !self.tags.is_empty() {
            arguments.push(format!("-tags={}", self.tags.join(",")));
        }
        arguments.push(format!("-ldflags={linker}"));
        arguments
    }

    /// What the build depends on, as a short hash: another version is another folder, so an older
    /// checkout and a newer one do not build in turns.
    fn key(&self, source: &Path, arguments: &[String]) -> Result<String> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(source)
            .with_context(|| format!("read {}", source.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            hash.update(std::fs::read(&file).with_context(|| format!("read {}", file.display()))?);
            hash.update([0]);
        }
        for word in arguments.iter().map(String::as_str).chain(
            self.programs
                .iter()
                .flat_map(|(name, package)| [*name, *package]),
        ) {
            hash.update(word);
            hash.update([0]);
        }
        Ok(crate::image::hex(&hash.finalize(), 12))
    }
}

/// The version that a go.mod requires of a module.
pub(crate) fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_either_form_of_require() {
        let go_mod = "module m\n\nrequire k8s.io/kubernetes v1.36.3\n\nrequire (\n\thelm.sh/helm/v4 v4.3.1 // indirect\n)\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";
        assert_eq!(
            required_version(go_mod, "k8s.io/kubernetes"),
            Some("v1.36.3")
        );
        assert_eq!(required_version(go_mod, "helm.sh/helm/v4"), Some("v4.3.1"));
        assert_eq!(required_version(go_mod, "k8s.io/api"), None);
    }

    #[test]
    fn every_set_has_its_module_with_a_version() {
        for set in SETS
            .iter()
            .chain([&ACTIONLINT, &KUBE_SCORE, &KUBECONFORM, &STATE_METRICS])
            .filter(|set| !set.module.is_empty())
        {
            let go_mod = std::fs::read_to_string(set.source().unwrap().join("go.mod")).unwrap();
            assert!(
                required_version(&go_mod, set.module).is_some(),
                "{} is not required by {}",
                set.module,
                set.name
            );
        }
    }

    #[test]
    fn every_program_is_a_tool_of_its_module() {
        for set in SETS
            .iter()
            .chain([&ACTIONLINT, &KUBE_SCORE, &KUBECONFORM, &STATE_METRICS])
            .filter(|set| !set.module.is_empty())
        {
            let go_mod = std::fs::read_to_string(set.source().unwrap().join("go.mod")).unwrap();
            for (_, package) in set.programs {
                assert!(
                    go_mod
                        .lines()
                        .any(|line| line.trim().trim_start_matches("tool ").eq(*package)),
                    "{package} is no tool of {}",
                    set.name
                );
            }
        }
    }

    #[test]
    fn key_changes_with_the_version_and_the_flags() {
        let folder = std::env::temp_dir().join(format!("graceful-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let set = &SETS[1];
        std::fs::write(folder.join("go.mod"), "one").unwrap();
        let one = set.key(&folder, &set.build_arguments(None)).unwrap();
        assert_eq!(one, set.key(&folder, &set.build_arguments(None)).unwrap());
        assert_ne!(one, set.key(&folder, &["build".into()]).unwrap());
        std::fs::write(folder.join("go.mod"), "two").unwrap();
        assert_ne!(one, set.key(&folder, &set.build_arguments(None)).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn components_report_the_version_of_their_module() {
        let set = SETS.iter().find(|set| set.name == "helm").unwrap();
        let arguments = set.build_arguments(Some("v4.3.1"));
        assert!(
            arguments
                .iter()
                .any(|a| a.ends_with("-X helm.sh/helm/v4/internal/version.version=v4.3.1")),
            "{arguments:?}"
        );
    }
}
