//! The names that are ours in a pod, and the pods that have no agent. What clashes is refused here,
//! before anything is injected.

use super::Refusal;
use super::draft::TEMPLATE;
use super::pod::{At, Container, Pod, Strings};
use crate::api::{AGENT, GROUP, NO_TOKEN_VOLUME, PODINFO_VOLUME};

/// Refuses a template that uses what is ours.
pub(super) fn check(pod: &Pod) -> Result<(), Refusal> {
    windows(pod)?;
    keys("labels", &pod.labels)?;
    keys("annotations", &pod.annotations)?;
    for (i, volume) in pod.volumes.iter().enumerate() {
        if [AGENT, PODINFO_VOLUME, NO_TOKEN_VOLUME].contains(&volume.name.as_str()) {
            return Err(Refusal::ReservedVolume {
                at: format!("{TEMPLATE}.spec.volumes[{i}].name"),
                name: volume.name.clone(),
            });
        }
    }
    for container in pod.all_containers() {
        if container.it.name == AGENT {
            let at = format!("{}.name", container.at);
            return Err(Refusal::ReservedContainer { at });
        }
        paths(container)?;
    }
    Ok(())
}

fn windows(pod: &Pod) -> Result<(), Refusal> {
    let selected = pod
        .spec
        .node_selector
        .get("kubernetes.io/os")
        .cloned()
        .flatten();
    let declared = pod.spec.os.as_ref().and_then(|os| os.name.clone());
    for (system, field) in [(declared, "os.name"), (selected, "nodeSelector")] {
        if system.as_deref() == Some("windows") {
            return Err(Refusal::Windows {
                at: format!("{TEMPLATE}.spec.{field}"),
            });
        }
    }
    Ok(())
}

fn keys(field: &str, keys: &Strings) -> Result<(), Refusal> {
    let ours = |key: &&String| {
        key.strip_prefix(GROUP)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    match keys.keys().find(ours) {
        Some(key) => Err(Refusal::ReservedKey {
            at: format!("{TEMPLATE}.metadata.{field}"),
            key: key.clone(),
        }),
        None => Ok(()),
    }
}

fn paths(container: &At<Container>) -> Result<(), Refusal> {
    let At { at, it } = container;
    let mounts = it.volume_mounts.iter().enumerate();
    let mounts = mounts.map(|(i, mount)| {
        (
            format!("{at}.volumeMounts[{i}].mountPath"),
            &mount.mount_path,
        )
    });
    let devices = it.volume_devices.iter().enumerate();
    let devices = devices.map(|(i, device)| {
        (
            format!("{at}.volumeDevices[{i}].devicePath"),
            &device.device_path,
        )
    });
    match mounts.chain(devices).find(|(_, path)| is_ours(path)) {
        Some((at, _)) => Err(Refusal::ReservedPath { at }),
        None => Ok(()),
    }
}

/// Whether a path is `/graceful.dev` or below it, however it is written.
fn is_ours(path: &str) -> bool {
    let mut clean = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean.first() == Some(&GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_ours_however_it_is_written() {
        for path in [
            "/graceful.dev",
            "/graceful.dev/",
            "//graceful.dev/agent",
            "/data/../graceful.dev/x",
        ] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "/",
            "/graceful.dev.d",
            "/data/graceful.dev",
            "/graceful.dev/../data",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
