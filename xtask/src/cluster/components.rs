//! What a cluster runs: the components with their arguments. Pure tables; who starts them is
//! `supervise`. Paths are those inside the cluster.

use super::node::{ADDRESS, FIRST_SERVICE, INSIDE, Node, SERVICE_RANGE};

/// A process of the cluster.
#[derive(Debug)]
pub(super) struct Component {
    /// The name of its log, and of the mark that says it ended.
    pub(super) name: String,
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

fn component(name: impl Into<String>, program: &'static str, arguments: &[String]) -> Component {
    Component {
        name: name.into(),
        program,
        arguments: arguments.to_vec(),
    }
}

/// `--name=value` for each.
fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

fn inside(path: &str) -> String {
    format!("{INSIDE}/{path}")
}

pub(super) fn etcd() -> Component {
    component(
        "etcd",
        "etcd",
        &flags(&[
            ("name", "default"),
            ("data-dir", &inside("etcd")),
            ("listen-client-urls", "http://127.0.0.1:2379"),
            ("advertise-client-urls", "http://127.0.0.1:2379"),
            ("listen-peer-urls", "http://127.0.0.1:2380"),
            ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
            ("initial-cluster", "default=http://127.0.0.1:2380"),
            // Test data: a crash of the machine may lose it, a crash of a process does not.
            ("unsafe-no-fsync", "true"),
            ("log-level", "warn"),
        ]),
    )
}

pub(super) fn apiserver() -> Component {
    component(
        "kube-apiserver",
        "kube-apiserver",
        &flags(&[
            ("etcd-servers", "http://127.0.0.1:2379"),
            ("advertise-address", ADDRESS),
            ("secure-port", "6443"),
            ("service-cluster-ip-range", SERVICE_RANGE),
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("allow-privileged", "true"),
            ("client-ca-file", &inside("pki/ca.crt")),
            ("tls-cert-file", &inside("pki/apiserver.crt")),
            ("tls-private-key-file", &inside("pki/apiserver.key")),
            ("kubelet-client-certificate", &inside("pki/admin.crt")),
            ("kubelet-client-key", &inside("pki/admin.key")),
            // Without it `kubectl logs` and `exec` look the node's name up in DNS.
            ("kubelet-preferred-address-types", "InternalIP"),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc.cluster.local",
            ),
            (
                "service-account-key-file",
                &inside("pki/service-accounts.pub"),
            ),
            (
                "service-account-signing-key-file",
                &inside("pki/service-accounts.key"),
            ),
            ("audit-policy-file", &inside("audit-policy.json")),
            ("audit-log-path", &inside("audit.log")),
            // Megabytes; one file, because tests read it as a whole.
            ("audit-log-maxsize", "4000"),
        ]),
    )
}

pub(super) fn controller_manager() -> Component {
    component(
        "kube-controller-manager",
        "kube-controller-manager",
        &flags(&[
            ("kubeconfig", &inside("controller-manager.kubeconfig")),
            ("bind-address", "127.0.0.1"),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "true"),
            ("root-ca-file", &inside("pki/ca.crt")),
            (
                "service-account-private-key-file",
                &inside("pki/service-accounts.key"),
            ),
            // By default 20 a second: it makes an account for each controller first, and the one of
            // the namespace default, which every pod needs, had to wait four seconds for its turn.
            ("kube-api-qps", "200"),
            ("kube-api-burst", "200"),
            ("cluster-signing-cert-file", &inside("pki/ca.crt")),
            ("cluster-signing-key-file", &inside("pki/ca.key")),
            // An autoscaler looks every 15 seconds, leaves pods out that are not ready and younger than five
            // minutes, and takes one that was ready for less than 30 seconds for one that never was. No test's
            // pod gets that old.
            ("horizontal-pod-autoscaler-sync-period", "1s"),
            ("horizontal-pod-autoscaler-cpu-initialization-period", "1s"),
            ("horizontal-pod-autoscaler-initial-readiness-delay", "1s"),
        ]),
    )
}

pub(super) fn scheduler() -> Component {
    component(
        "kube-scheduler",
        "kube-scheduler",
        &flags(&[
            ("kubeconfig", &inside("scheduler.kubeconfig")),
            ("bind-address", "127.0.0.1"),
            ("leader-elect", "false"),
        ]),
    )
}

/// What each node runs, in the order of starting.
pub(super) fn of_node(node: Node) -> [Component; 3] {
    let own = |file: &str| node.folder().join(file).display().to_string();
    let name = |part: &str| match node {
        Node(1) => part.to_owned(),
        Node(_) => format!("{}-{part}", node.name()),
    };
    [
        component(
            name("containerd"),
            "containerd",
            &flags(&[("config", &own("containerd.toml"))]),
        ),
        component(
            name("kubelet"),
            "kubelet",
            &flags(&[
                ("config", &own("kubelet.json")),
                ("kubeconfig", &own("kubelet.kubeconfig")),
                ("root-dir", &own("kubelet")),
                ("cert-dir", &own("kubelet-pki")),
                ("hostname-override", &node.name()),
                ("node-ip", &node.address()),
            ]),
        ),
        component(
            name("kube-proxy"),
            "kube-proxy",
            &flags(&[
                ("config", &own("kube-proxy.json")),
                ("hostname-override", &node.name()),
            ]),
        ),
    ]
}

/// The names and addresses that the API server's certificate must hold.
pub(super) const SERVER_NAMES: [&str; 8] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    ADDRESS,
    FIRST_SERVICE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelet_is_found_by_address() {
        let arguments = apiserver().arguments;
        assert!(arguments.contains(&"--kubelet-preferred-address-types=InternalIP".to_owned()));
    }

    #[test]
    fn components_of_two_nodes_have_names_and_files_of_their_own() {
        let (one, two) = (of_node(Node(1)), of_node(Node(2)));
        for (a, b) in one.iter().zip(&two) {
            assert_ne!(a.name, b.name);
            for argument in a.arguments.iter().filter(|a| a.contains('/')) {
                assert!(!b.arguments.contains(argument), "{argument}");
            }
        }
        assert_eq!(two[1].name, "node-2-kubelet");
    }

    #[test]
    fn every_file_is_in_the_cluster() {
        let all = [etcd(), apiserver(), controller_manager(), scheduler()];
        for argument in all.iter().flat_map(|c| &c.arguments) {
            let value = argument.split_once('=').map_or("", |(_, value)| value);
            assert!(
                !value.starts_with('/') || value.starts_with(INSIDE),
                "{argument}"
            );
        }
    }
}
