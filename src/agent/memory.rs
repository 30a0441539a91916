//! The agent's memory: small files in its volume, which outlive the container and the node's reboot,
//! but not the pod. Each is written whole or not at all. Nothing is synced: a mark that a power cut took
//! is a drain that begins anew, for the request is still there.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::clock::Stamp;

/// How far a drain has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It goes on.
    Draining,
    /// Its receipt is written.
    Finished,
}

/// The mark of the drain that the pod is in. None where it is in service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The drain's epoch.
    pub epoch: String,
    /// The pod's UID.
    pub uid: String,
    /// How far it has got.
    pub state: Progress,
    /// When it was heard of.
    pub heard: Stamp,
    /// When a readiness probe was first told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Stamp>,
    /// Ports that were listened on.
    #[serde(default)]
    pub listened: Vec<u16>,
    /// Inbound connections at its start.
    #[serde(default)]
    pub at_start: Option<u32>,
}

/// What the hook in the app's containers needs to know of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// The agent's port; none on the host's network.
    pub port: Option<u16>,
    /// Where the probes on it come from.
    pub kubelet: Option<IpAddr>,
}

/// The volume.
#[derive(Clone, Debug)]
pub struct Memory {
    folder: PathBuf,
}

const MARK: &str = "mark";
const SERVING: &str = "serving";
const TOLD: &str = "told";

impl Memory {
    /// The memory in this folder.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The mark. One that cannot be read is none: the request, if there is one, begins it anew.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.read(MARK)
    }

    /// Writes the mark.
    ///
    /// # Errors
    /// When the volume cannot be written.
    pub fn write_mark(&self, mark: &Mark) -> io::Result<()> {
        self.write(MARK, &serde_json::to_vec(mark)?, 0o644)
    }

    /// Erases the mark and what belongs to it.
    ///
    /// # Errors
    /// When the volume cannot be written.
    pub fn erase_mark(&self) -> io::Result<()> {
        remove(&self.folder.join(MARK))?;
        remove(&self.folder.join(TOLD))
    }

    /// Who serves in this pod; none before the agent has begun.
    #[must_use]
    pub fn serving(&self) -> Option<Serving> {
        self.read(SERVING)
    }

    /// Writes who serves.
    ///
    /// # Errors
    /// When the volume cannot be written.
    pub fn write_serving(&self, serving: &Serving) -> io::Result<()> {
        self.write(SERVING, &serde_json::to_vec(serving)?, 0o644)
    }

    /// Whether the readiness command has told the kubelet of this epoch.
    #[must_use]
    pub fn is_told(&self, epoch: &str) -> bool {
        fs::read_to_string(self.folder.join(TOLD)).is_ok_and(|text| text == epoch)
    }

    /// Notes that the readiness command has told the kubelet.
    ///
    /// # Errors
    /// When the volume cannot be written.
    pub fn write_told(&self, epoch: &str) -> io::Result<()> {
        self.write(TOLD, epoch.as_bytes(), 0o644)
    }

    /// Puts the agent's own binary where every container of the pod can run it.
    ///
    /// # Errors
    /// When the binary cannot be read or the volume cannot be written.
    pub fn install_binary(&self, binary: &Path, name: &str) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{name}"));
        fs::copy(binary, &temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
        fs::rename(temporary, self.folder.join(name))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.folder.join(name)).ok()?).ok()
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{name}"));
        fs::write(&temporary, content)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
        fs::rename(temporary, self.folder.join(name))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::clock::Clock;

    fn mark(epoch: &str) -> Mark {
        Mark {
            epoch: epoch.into(),
            uid: "u".into(),
            state: Progress::Draining,
            heard: Clock::start().stamp(),
            withdrawn: None,
            listened: vec![8080],
            at_start: Some(3),
        }
    }

    #[test]
    fn mark_outlives_the_process_until_it_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(folder.path());
        assert_eq!(memory.mark(), None);
        memory.write_mark(&mark("one")).unwrap();
        assert_eq!(Memory::at(folder.path()).mark(), Some(mark_of(&memory)));
        memory.erase_mark().unwrap();
        memory.erase_mark().unwrap();
        assert_eq!(memory.mark(), None);
    }

    fn mark_of(memory: &Memory) -> Mark {
        memory.mark().unwrap()
    }

    #[test]
    fn told_counts_for_its_epoch_alone() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(folder.path());
        memory.write_told("one").unwrap();
        assert!(memory.is_told("one") && !memory.is_told("two"));
        memory.erase_mark().unwrap();
        assert!(!memory.is_told("one"));
    }

    #[test]
    fn broken_mark_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MARK), "{").unwrap();
        assert_eq!(Memory::at(folder.path()).mark(), None);
    }

    #[test]
    fn installed_binary_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(folder.path());
        memory
            .install_binary(Path::new("/proc/self/exe"), "copy")
            .unwrap();
        let mode = fs::metadata(folder.path().join("copy"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
