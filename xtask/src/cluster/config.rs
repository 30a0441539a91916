//! The configuration files of a cluster's components, as text. Pure: where they are written, and when,
//! is `up`'s. JSON serves wherever a component takes YAML.

use serde_json::{Value, json};

use super::node::{INSIDE, Node};

/// How containerd stores image layers: overlay, unless the folder lies on an overlay itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Snapshotter {
    Overlayfs,
    Native,
}

impl Snapshotter {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overlayfs => "overlayfs",
            Self::Native => "native",
        }
    }
}

/// The pause image, as containerd names it.
pub(super) const PAUSE_IMAGE: &str = "docker.io/library/pause";

pub(super) fn containerd(node: Node, pause_tag: &str, snapshotter: Snapshotter) -> String {
    let folder = node.folder();
    let folder = folder.display();
    let snapshotter = snapshotter.name();
    // restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE runc cannot lower the score and fails
    // with "can't get final child's PID from pipe: EOF".
    format!(
        r#"version = 3
imports = []
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.opt",
  "io.containerd.image-verifier.v1.bindir",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{INSIDE}/bin"]
conf_dir = "{folder}/cni"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "{snapshotter}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}:{pause_tag}"
"#
    )
}

/// One bridge for the node's pods. hairpinMode: a pod reaches itself through a Service.
pub(super) fn cni(node: Node) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": node.folder().join("addresses"),
                    "ranges": [[{"subnet": node.pod_range()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {
                "type": "portmap",
                "backend": "nftables",
                "capabilities": {"portMappings": true},
            },
        ],
    })
}

pub(super) fn kubelet(node: Node, cluster: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{INSIDE}/pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", node.cgroup(cluster)),
        "failCgroupV1": false,
        "failSwapOn": false,
        // The machine is shared with whatever else runs on it.
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "resolvConf": "/dev/null",
        "podLogsDir": node.folder().join("pods"),
        "volumePluginDir": node.folder().join("volume-plugins"),
        // Images come from tar files and could not be pulled again: the kubelet must never clean up.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    })
}

pub(super) fn kube_proxy(node: Node) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": format!("{INSIDE}/kube-proxy.kubeconfig")},
        "mode": "nftables",
        "bindAddress": node.address(),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // Zero leaves the kernel's limits alone; they are the machine's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// Every request: tests count writes by user agent and compare roles with use. The body only of those
/// that must say what they were decided from.
pub(super) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Request",
                "verbs": ["update", "patch", "delete", "deletecollection"],
                "resources": [
                    {"group": "", "resources": ["pods"]},
                    {"group": "apps", "resources": ["replicasets", "controllerrevisions"]},
                    {"group": "graceful.dev", "resources": ["gracefuldeployments/status"]},
                ],
            },
            {"level": "Metadata"},
        ],
    })
}

/// A kubeconfig with certificates by path below `folder`.
pub(super) fn kubeconfig(folder: &str, user: &str, cluster: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster,
            "cluster": {
                "server": super::node::SERVER,
                "certificate-authority": format!("{folder}/pki/ca.crt"),
            },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate": format!("{folder}/pki/{user}.crt"),
                "client-key": format!("{folder}/pki/{user}.key"),
            },
        }],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_keeps_to_the_clusters_folder() {
        let text = containerd(Node(2), "1-abc", Snapshotter::Native);
        assert!(
            text.contains(r#"root = "/run/graceful/node-2/containerd""#),
            "{text}"
        );
        assert!(
            text.contains(r#"sandbox = "docker.io/library/pause:1-abc""#),
            "{text}"
        );
        assert!(text.contains(r#"snapshotter = "native""#), "{text}");
        assert!(text.contains("restrict_oom_score_adj = true"), "{text}");
    }

    #[test]
    fn kubelet_has_a_cgroup_of_its_own_and_takes_both_cgroup_versions() {
        let config = kubelet(Node(1), "demo");
        assert_eq!(config["cgroupRoot"], "/graceful-demo-1");
        assert_eq!(config["failCgroupV1"], false);
        assert_eq!(config["cgroupDriver"], "cgroupfs");
    }

    #[test]
    fn pods_of_a_node_get_addresses_of_its_range() {
        let config = cni(Node(2));
        assert_eq!(
            config["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.245.0.0/16"
        );
        assert_eq!(
            config["plugins"][0]["ipam"]["dataDir"],
            "/run/graceful/node-2/addresses"
        );
    }

    #[test]
    fn kubeconfig_names_its_cluster_and_user() {
        let config = kubeconfig("/x", "admin", "graceful");
        assert_eq!(config["current-context"], "graceful");
        assert_eq!(config["users"][0]["user"]["client-key"], "/x/pki/admin.key");
    }
}
