//! What the hook in the application's containers tells the agent: that its container is about to be ended.
//! One byte to an abstract Unix socket, which the containers of a pod share with its network; it only
//! starts a clock and a look at the socket table. Nobody is withdrawn or drained by it.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

/// An agent that has just been started again listens within some milliseconds. Longer, and a pod whose agent
/// is down ends that much later; shorter, and its shutdown is not measured.
const PATIENCE: u32 = 15;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What a hook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Its drain begins, or the user's own hook does.
    Leaving,
    /// The kubelet sends SIGTERM next.
    Ending,
}

impl Word {
    fn byte(self) -> u8 {
        match self {
            Self::Leaving => b'l',
            Self::Ending => b'e',
        }
    }

    /// `None` for what no hook says.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"l" => Some(Self::Leaving),
            b"e" => Some(Self::Ending),
            _ => None,
        }
    }
}

/// Of the agent's volume, by which agent and hook find each other on a network that is not theirs alone.
fn address(volume: &Path) -> io::Result<SocketAddr> {
    let volume = fs::metadata(volume)?;
    let name = format!("graceful-agent/{:x}/{:x}", volume.dev(), volume.ino());
    SocketAddr::from_abstract_name(name)
}

/// The agent's ear.
///
/// # Errors
/// Where a policy forbids such sockets, or another agent listens on the same volume.
pub fn listen(volume: &Path) -> io::Result<tokio::net::UnixDatagram> {
    let socket = UnixDatagram::bind_addr(&address(volume)?)?;
    socket.set_nonblocking(true)?;
    tokio::net::UnixDatagram::from_std(socket)
}

/// The next word of any hook.
pub async fn hear(ear: Option<&tokio::net::UnixDatagram>) -> Word {
    let Some(ear) = ear else {
        return std::future::pending().await;
    };
    loop {
        let mut bytes = [0; 2];
        if let Ok(length) = ear.recv(&mut bytes).await
            && let Some(word) = bytes.get(..length).and_then(Word::read)
        {
            return word;
        }
    }
}

/// Tells the agent. One that does not listen is no reason to wait for long, or to fail.
pub async fn tell(volume: &Path, word: Word) {
    let Ok(address) = address(volume) else { return };
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    for _ in 0..PATIENCE {
        match socket.send_to_addr(&[word.byte()], &address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => sleep(PAUSE).await,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_reach_the_agent_of_the_same_volume() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ear = listen(one.path()).unwrap();
        let deaf = listen(other.path()).unwrap();
        tell(one.path(), Word::Leaving).await;
        tell(one.path(), Word::Ending).await;
        assert_eq!(hear(Some(&ear)).await, Word::Leaving);
        assert_eq!(hear(Some(&ear)).await, Word::Ending);
        assert!(deaf.try_recv(&mut [0; 2]).is_err());
    }

    #[tokio::test]
    async fn an_agent_that_is_just_starting_is_waited_for() {
        let volume = tempfile::tempdir().unwrap();
        let (path, late) = (volume.path(), PAUSE * 3);
        let listening = async {
            sleep(late).await;
            hear(Some(&listen(path).unwrap())).await
        };
        let (word, ()) = tokio::join!(listening, tell(path, Word::Ending));
        assert_eq!(word, Word::Ending);
    }

    #[tokio::test]
    async fn an_agent_that_is_down_holds_nobody_up_for_long() {
        let volume = tempfile::tempdir().unwrap();
        let told = tokio::time::timeout(Duration::from_secs(5), tell(volume.path(), Word::Ending));
        told.await.unwrap();
    }
}
