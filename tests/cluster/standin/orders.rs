//! What tests order the stand-in to do with pods.

use std::collections::HashMap;
use std::time::Duration;

use graceful::api::farewell::Exit;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// How a pod starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It is Ready after that time.
    Ready(Duration),
    /// It runs, and its readiness probe fails.
    NeverReady,
    /// Its image cannot be pulled.
    ImagePullError,
    /// It exits again and again.
    Crash,
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So long.
    After(Duration),
    /// Until it is ordered otherwise, or Kubernetes has no more patience.
    Never,
}

/// How the agent of a pod answers a request to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It withdraws the pod and reports when the work is over.
    Good,
    /// It never hears of the request.
    Deaf,
    /// It withdraws the pod and never reports.
    Silent,
}

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) start: Start,
    /// The work that a drain waits for.
    pub(crate) work: Pace,
    pub(crate) hearing: Hearing,
    /// From SIGTERM to the end.
    pub(crate) exit: Pace,
    /// Exit code of the app's containers.
    pub(crate) code: i32,
    /// What its agent says of the app's end.
    pub(crate) said: Exit,
}

impl Default for Manner {
    /// A pod that starts at once, has no work and exits when it is told to.
    fn default() -> Self {
        Self {
            start: Start::Ready(Duration::ZERO),
            work: Pace::After(Duration::ZERO),
            hearing: Hearing::Good,
            exit: Pace::After(Duration::ZERO),
            code: 0,
            said: Exit::default(),
        }
    }
}

impl Manner {
    /// One whose work is never over.
    pub(crate) fn busy() -> Self {
        Self {
            work: Pace::Never,
            ..Self::default()
        }
    }

    pub(crate) fn starting(start: Start) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }
}

/// All orders, by namespace and by name or image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders(HashMap<(String, String), Manner>);

impl Orders {
    pub(super) fn set(&mut self, subject: (String, String), manner: Manner) {
        self.0.insert(subject, manner);
    }

    pub(super) fn of(&self, pod: &Pod) -> Manner {
        let image = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers.first()?.image.clone());
        let namespace = pod.namespace().unwrap_or_default();
        let order = |subject: String| self.0.get(&(namespace.clone(), subject)).copied();
        order(pod.name_any())
            .or_else(|| order(image.unwrap_or_default()))
            .unwrap_or_default()
    }
}
