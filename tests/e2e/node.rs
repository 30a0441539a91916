//! The cluster's nodes as the tests find them, which run in the first one: a load from a node's own network, and a
//! whole node lost at once. Each further node is a process namespace inside the cluster's, so its processes are
//! seen and can be ended from here.

use std::path::PathBuf;

use tokio::process::Command;

use crate::process;

/// Addresses that the first node has for a load.
const MANY: &[&str] = &["10.10.0.101", "10.10.0.102", "10.10.0.103", "10.10.0.104"];

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    kubelet: u32,
}

impl Node {
    /// All that run, the first one first.
    pub(crate) fn all() -> Vec<Self> {
        let kubelets = process::find("kubelet").into_iter();
        let mut nodes: Vec<_> = kubelets
            .filter_map(|kubelet| {
                let name = process::argument(kubelet, "--hostname-override")?;
                Some(Self { name, kubelet })
            })
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        nodes
    }

    /// It is the one that the tests run in, with the control plane.
    pub(crate) fn is_first(&self) -> bool {
        network("self") == network(&self.kubelet.to_string())
    }

    /// A command in this node's network, with this process' files.
    pub(crate) fn command(&self, program: impl Into<std::ffi::OsString>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.kubelet));
        command.arg("--").arg(program.into());
        command
    }

    /// The node's addresses, as sources for a load. From a single one the ports of many connections a second come
    /// round while connection tracking still remembers the old ones.
    pub(crate) fn sources(&self) -> Vec<String> {
        if self.is_first() {
            return MANY.iter().map(ToString::to_string).collect();
        }
        vec![process::argument(self.kubelet, "--node-ip").expect("the node's address")]
    }

    /// Ends the node's first process, and so everything that runs on it.
    pub(crate) fn lose(&self) {
        assert!(
            !self.is_first(),
            "{} is not to be lost: all else runs there",
            self.name
        );
        let first = process::parent(self.kubelet).expect("the node's first process");
        process::signal(first, "KILL");
    }
}

fn network(process: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{process}/ns/net")).expect("a network")
}
