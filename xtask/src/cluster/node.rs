//! The fixed names and addresses of a cluster. Each cluster has a network of its own, so two of them
//! can use the same ones.

use std::path::PathBuf;

/// Where a cluster sees its own folder: short, because a socket's path has at most 107 bytes, and the
/// same for every cluster, because each sees only its own.
pub(super) const INSIDE: &str = "/run/graceful";

/// The first node's address; the API server listens here.
pub(super) const ADDRESS: &str = "10.10.0.1";
pub(super) const SERVER: &str = "https://10.10.0.1:6443";
pub(super) const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The first address of the range, which the Service `kubernetes` gets.
pub(super) const FIRST_SERVICE: &str = "10.96.0.1";
/// The bridge that the nodes are plugged into. The first node's address is its own.
pub(super) const BRIDGE: &str = "nodes";
/// More addresses of the first node, as sources for a load: from a single one the ports of 250 new
/// connections a second come round while connection tracking still remembers the old ones.
pub(super) const CLIENT_ADDRESSES: std::ops::RangeInclusive<u8> = 101..=108;
/// Each node takes a /16 of 10.244.0.0 upwards; more than two were never tried.
pub(super) const MAX_NODES: u8 = 2;

/// One node, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(pub(super) u8);

impl Node {
    pub(super) fn name(self) -> String {
        format!("node-{}", self.0)
    }

    pub(super) fn address(self) -> String {
        format!("10.10.0.{}", self.0)
    }

    pub(super) fn pod_range(self) -> String {
        format!("10.{}.0.0/16", 243 + u16::from(self.0))
    }

    /// The node's folder as it sees it.
    pub(super) fn folder(self) -> PathBuf {
        PathBuf::from(INSIDE).join(self.name())
    }

    /// The cgroup of the node's pods. A kubelet removes pod cgroups that it does not know, so no two
    /// may share one.
    pub(super) fn cgroup(self, cluster: &str) -> String {
        format!("graceful-{cluster}-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_nothing() {
        let (one, two) = (Node(1), Node(2));
        assert_eq!(one.address(), ADDRESS);
        assert_eq!(one.pod_range(), "10.244.0.0/16");
        assert_eq!(two.pod_range(), "10.245.0.0/16");
        assert_ne!(one.folder(), two.folder());
        assert_ne!(one.cgroup("a"), two.cgroup("a"));
        assert_ne!(one.cgroup("a"), one.cgroup("b"));
    }

    #[test]
    fn socket_paths_are_short_enough() {
        let longest = Node(2).folder().join("kubelet/pod-resources/kubelet.sock");
        assert!(longest.as_os_str().len() < 107);
    }
}
