//! What the hook in the application's containers tells the agent: that its container is about to be ended.
//! One byte to an abstract Unix socket, which the containers of a pod share with its network, and one back
//! once the agent looks; it only starts a clock and a look at the socket table. Nobody is withdrawn or drained by it.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// An agent that has just been started again listens within some milliseconds. Longer, and a pod whose agent
/// is down ends that much later; shorter, and its shutdown is not measured.
const PATIENCE: u32 = 15;

/// SIGTERM waits so long for the agent to look: an application may end within a millisecond of it, and an agent
/// gets little of a busy node's processor. Longer, and a pod whose agent hangs ends that much later.
const LOOK: Duration = Duration::from_secs(1);

/// The agent's answer.
const HEARD: &[u8] = b"h";

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
fn name(volume: &Path) -> io::Result<String> {
    let volume = fs::metadata(volume)?;
    Ok(format!(
        "graceful-agent/{:x}/{:x}",
        volume.dev(),
        volume.ino()
    ))
}

fn address(volume: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name(volume)?)
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

/// A word, and whoever waits for it to be heeded.
#[derive(Debug)]
pub struct Heard {
    word: Word,
    from: Option<SocketAddr>,
}

impl Heard {
    /// Heeds it, and then tells the hook so. One that waits no more does not matter.
    pub fn heed(self, heed: impl FnOnce(Word)) {
        heed(self.word);
        if let (Some(from), Ok(socket)) = (&self.from, UnixDatagram::unbound()) {
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to_addr(HEARD, from);
        }
    }
}

/// The next word of any hook.
pub async fn hear(ear: Option<&tokio::net::UnixDatagram>) -> Heard {
    let Some(ear) = ear else {
        return std::future::pending().await;
    };
    loop {
        let mut bytes = [0; 2];
        if let Ok((length, from)) = ear.recv_from(&mut bytes).await
            && let Some(word) = bytes.get(..length).and_then(Word::read)
        {
            let from = SocketAddr::from(from);
            let is_named = from.as_abstract_name().is_some();
            let from = is_named.then_some(from);
            return Heard { word, from };
        }
    }
}

/// Where this hook hears. No other has this name: processes are numbered anew in each container.
fn own_address(volume: &Path) -> io::Result<SocketAddr> {
    let numbers = fs::metadata("/proc/self/ns/pid")?.ino();
    let (agent, own) = (name(volume)?, std::process::id());
    SocketAddr::from_abstract_name(format!("{agent}/{numbers:x}/{own:x}"))
}

/// Tells the agent, and waits until it looks. One that does not listen is no reason to wait for long, or to fail.
pub async fn tell(volume: &Path, word: Word) {
    let Ok(address) = address(volume) else { return };
    let named = own_address(volume).and_then(|own| UnixDatagram::bind_addr(&own));
    let can_hear = named.is_ok();
    let Ok(socket) = named.or_else(|_| UnixDatagram::unbound()) else {
        return;
    };
    for _ in 0..PATIENCE {
        match socket.send_to_addr(&[word.byte()], &address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => sleep(PAUSE).await,
            Ok(_) if can_hear => return wait_for_answer(socket).await,
            _ => return,
        }
    }
}

async fn wait_for_answer(socket: UnixDatagram) {
    if socket.set_nonblocking(true).is_ok()
        && let Ok(socket) = tokio::net::UnixDatagram::from_std(socket)
    {
        let _ = timeout(LOOK, socket.recv(&mut [0; 1])).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears one word, and answers.
    async fn heard(ear: &tokio::net::UnixDatagram) -> Word {
        let mut word = None;
        hear(Some(ear)).await.heed(|heard| word = Some(heard));
        word.unwrap()
    }

    #[tokio::test]
    async fn words_reach_the_agent_of_the_same_volume() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ear = listen(one.path()).unwrap();
        let deaf = listen(other.path()).unwrap();
        for word in [Word::Leaving, Word::Ending] {
            let ((), heard) = tokio::join!(tell(one.path(), word), heard(&ear));
            assert_eq!(heard, word);
        }
        assert!(deaf.try_recv(&mut [0; 2]).is_err());
    }

    #[tokio::test]
    async fn the_kubelet_goes_on_once_the_agent_looks_and_not_before() {
        let volume = tempfile::tempdir().unwrap();
        let ear = listen(volume.path()).unwrap();
        let mut told = std::pin::pin!(tell(volume.path(), Word::Ending));
        let before = timeout(LOOK / 2, &mut told).await;
        assert!(before.is_err(), "it waits");
        let ((), word) = tokio::join!(&mut told, heard(&ear));
        assert_eq!(word, Word::Ending);
    }

    #[tokio::test]
    async fn an_agent_that_is_just_starting_is_waited_for() {
        let volume = tempfile::tempdir().unwrap();
        let (path, late) = (volume.path(), PAUSE * 3);
        let listening = async {
            sleep(late).await;
            heard(&listen(path).unwrap()).await
        };
        let (word, ()) = tokio::join!(listening, tell(path, Word::Ending));
        assert_eq!(word, Word::Ending);
    }

    #[tokio::test]
    async fn an_agent_that_is_down_or_hangs_holds_nobody_up_for_long() {
        let (down, hangs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _deaf = listen(hangs.path()).unwrap();
        for volume in [&down, &hangs] {
            let told = timeout(Duration::from_secs(10), tell(volume.path(), Word::Ending));
            told.await.unwrap();
        }
    }
}
