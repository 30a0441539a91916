//! The annotations, as the kubelet projects them into the pod: what they ask for, and when they
//! change. What cannot be read or understood asks for nothing new.

use std::fs;
use std::path::{Path, PathBuf};

use crate::api::request::DrainRequest;
use crate::api::v1alpha1::Drain;
use crate::api::{CONFIG_FILE, DRAIN_FILE};

/// What the drain annotation asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Service.
    Service,
    /// A drain.
    Drain(Box<DrainRequest>),
    /// It cannot be told, for this reason: things stay as they are.
    Unclear(String),
}

impl Wanted {
    /// Reads the annotation's value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::Service;
        }
        match serde_json::from_str::<DrainRequest>(text) {
            Ok(request) if request.epoch.is_empty() => Self::Unclear("the epoch is empty".into()),
            Ok(request) if request.epoch.len() > 64 => {
                Self::Unclear("the epoch is longer than 64 bytes".into())
            }
            Ok(request) => Self::Drain(Box::new(request)),
            Err(error) => Self::Unclear(error.to_string()),
        }
    }
}

/// The folder with the projected annotations.
#[derive(Clone, Debug)]
pub struct Podinfo {
    folder: PathBuf,
    /// Where `..data` pointed when the files were last read.
    seen: Option<PathBuf>,
}

impl Podinfo {
    /// The annotations in this folder.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            seen: None,
        }
    }

    /// What is wanted, if that may have changed since the last call. The kubelet swaps all files at
    /// once by pointing the link `..data` elsewhere, so an unchanged link needs no reading.
    pub fn changed(&mut self) -> Option<Wanted> {
        let data = fs::read_link(self.folder.join("..data")).ok();
        if data.is_some() && data == self.seen {
            return None;
        }
        self.seen = data;
        let wanted = self.wanted();
        if matches!(wanted, Wanted::Unclear(_)) {
            self.seen = None;
        }
        Some(wanted)
    }

    /// Makes the next call of [`Self::changed`] read the files again.
    pub fn forget(&mut self) {
        self.seen = None;
    }

    /// What is wanted now.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match fs::read_to_string(self.folder.join(DRAIN_FILE)) {
            Ok(text) => Wanted::parse(&text),
            Err(error) => Wanted::Unclear(format!("read the annotation: {error}")),
        }
    }

    /// The settings of an unplanned exit.
    ///
    /// # Errors
    /// In words, when there are none that can be understood: the defaults stand in.
    pub fn config(&self) -> Result<Drain, String> {
        let text = fs::read_to_string(self.folder.join(CONFIG_FILE));
        let text = text.map_err(|error| format!("read the annotation: {error}"))?;
        parse_config(&text)
    }
}

/// Reads the settings of an unplanned exit; none asked for are the defaults.
///
/// # Errors
/// In words, where they cannot be understood.
pub fn parse_config(text: &str) -> Result<Drain, String> {
    if text.trim().is_empty() {
        return Ok(Drain::default());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn absent_annotation_asks_for_service() {
        assert_eq!(Wanted::parse(""), Wanted::Service);
        assert_eq!(Wanted::parse("\n"), Wanted::Service);
    }

    #[test]
    fn request_carries_epoch_and_settings() {
        let Wanted::Drain(request) = Wanted::parse(r#"{"epoch":"a","drain":{"minSeconds":1}}"#)
        else {
            panic!("not a request")
        };
        assert_eq!(request.epoch, "a");
        assert_eq!(
            (request.drain.min_seconds, request.drain.quiet_seconds),
            (1, 3)
        );
    }

    #[test]
    fn swapped_link_is_a_change_and_the_same_link_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, text) in [("..1", ""), ("..2", r#"{"epoch":"a","drain":{}}"#)] {
            fs::create_dir(path.join(name)).unwrap();
            fs::write(path.join(name).join("drain"), text).unwrap();
        }
        symlink("..1", path.join("..data")).unwrap();
        symlink("..data/drain", path.join("drain")).unwrap();
        let mut podinfo = Podinfo::at(path);
        assert_eq!(podinfo.changed(), Some(Wanted::Service));
        assert_eq!(podinfo.changed(), None);
        symlink("..2", path.join("new")).unwrap();
        fs::rename(path.join("new"), path.join("..data")).unwrap();
        assert!(matches!(podinfo.changed(), Some(Wanted::Drain(_))));
        assert_eq!(podinfo.changed(), None);
    }

    #[test]
    fn unreadable_config_is_an_error_and_an_empty_one_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let podinfo = Podinfo::at(folder.path());
        assert!(podinfo.config().is_err());
        fs::write(folder.path().join("config"), "").unwrap();
        assert_eq!(podinfo.config(), Ok(Drain::default()));
        fs::write(folder.path().join("config"), "{\"minSeconds\":\"x\"}").unwrap();
        assert!(podinfo.config().is_err());
    }

    proptest! {
        /// T12.
        #[test]
        fn garbage_asks_for_nothing(text in ".{1,80}") {
            prop_assert!(!matches!(Wanted::parse(&text), Wanted::Drain(_)));
        }
    }
}
