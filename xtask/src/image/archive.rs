//! The bytes of an image: one layer, its configuration and manifest, in a tar that is an OCI layout
//! (`ctr images import`, skopeo, crane) and a docker-archive (`docker load`) at once. No clock and no
//! file system in here: the same input gives the same bytes, and so the same digests.
//! Formats: <https://github.com/opencontainers/image-spec> (image-layout.md, manifest.md, config.md).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{ImageFile, hex};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Some readers take the time zero for "none", so this is the first second after it that none does:
/// 1980-01-01, where the times of zip files begin.
const MODIFIED: u64 = 315_532_800;
const CREATED: &str = "1980-01-01T00:00:00Z";

/// Some bytes with their digest, which takes a while.
struct Blob {
    bytes: Vec<u8>,
    sha256: String,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes), 64);
        Self { bytes, sha256 }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    /// Where an OCI layout keeps it.
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// What the digests are made of; tags come later and change none of it.
pub(super) struct Blobs {
    layer: Blob,
    config: Blob,
    manifest: Blob,
}

impl Blobs {
    pub(super) fn new(files: &[ImageFile], entrypoint: &[&str], user: &str) -> Result<Self> {
        let layer = Blob::new(layer(files)?);
        let config = json!({
            "created": CREATED,
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": user,
                "Entrypoint": entrypoint,
                "WorkingDir": "/",
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
            "history": [{"created": CREATED, "created_by": "cargo xtask image"}],
        });
        let config =
            Blob::new(serde_json::to_vec(&config).context("write the image's configuration")?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
        });
        let manifest =
            Blob::new(serde_json::to_vec(&manifest).context("write the image's manifest")?);
        Ok(Self {
            layer,
            config,
            manifest,
        })
    }

    /// Enough of the manifest's digest to tell two builds apart.
    pub(super) fn short_digest(&self) -> String {
        self.manifest.sha256.chars().take(12).collect()
    }

    /// The whole tar, naming the image `name` with every one of `tags`.
    pub(super) fn archive(&self, name: &str, tags: &[&str]) -> Result<Vec<u8>> {
        let manifests: Vec<Value> = tags
            .iter()
            .map(|tag| {
                json!({
                    "mediaType": MANIFEST,
                    "digest": self.manifest.digest(),
                    "size": self.manifest.bytes.len(),
                    "annotations": {
                        // The whole name for containerd, the tag alone for the standard.
                        "io.containerd.image.name": format!("docker.io/library/{name}:{tag}"),
                        "org.opencontainers.image.ref.name": tag,
                    },
                })
            })
            .collect();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        });
        let docker = json!([{
            "Config": self.config.path(),
            "RepoTags": tags.iter().map(|tag| format!("{name}:{tag}")).collect::<Vec<_>>(),
            "Layers": [self.layer.path()],
        }]);
        let mut tar = tar::Builder::new(Vec::new());
        append(
            &mut tar,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
        )?;
        append(&mut tar, "index.json", &serde_json::to_vec(&index)?, 0o644)?;
        append(
            &mut tar,
            "manifest.json",
            &serde_json::to_vec(&docker)?,
            0o644,
        )?;
        for blob in [&self.manifest, &self.config, &self.layer] {
            append(&mut tar, &blob.path(), &blob.bytes, 0o644)?;
        }
        tar.into_inner().context("end the archive")
    }
}

fn layer(files: &[ImageFile]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folders = BTreeSet::new();
    for file in files {
        let parents = Path::new(file.path.trim_start_matches('/'))
            .ancestors()
            .skip(1);
        folders.extend(parents.filter(|folder| *folder != Path::new("")));
    }
    for folder in folders {
        let mut header = header(tar::EntryType::Directory, 0, 0o755);
        tar.append_data(&mut header, folder, std::io::empty())
            .context("write a folder of the layer")?;
    }
    for file in files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        append(
            &mut tar,
            file.path.trim_start_matches('/'),
            &file.content,
            mode,
        )?;
    }
    tar.into_inner().context("end the layer")
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
    tar.append_data(&mut header, path, bytes)
        .with_context(|| format!("write {path}"))
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MODIFIED);
    header
}

/// The processor in the words of images (GOARCH).
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn files() -> Vec<ImageFile> {
        vec![
            ImageFile {
                path: "/app/bin/server".into(),
                content: b"binary".to_vec(),
                executable: true,
            },
            ImageFile {
                path: "/app/page.html".into(),
                content: b"page".to_vec(),
                executable: false,
            },
        ]
    }

    fn blobs() -> Blobs {
        Blobs::new(&files(), &["/app/bin/server"], "65532:65532").unwrap()
    }

    fn entries(bytes: &[u8]) -> BTreeMap<String, (u32, u64, Vec<u8>)> {
        tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                let header = entry.header();
                (
                    entry.path().unwrap().display().to_string(),
                    (header.mode().unwrap(), header.mtime().unwrap(), content),
                )
            })
            .collect()
    }

    fn parsed(entries: &BTreeMap<String, (u32, u64, Vec<u8>)>, name: &str) -> Value {
        serde_json::from_slice(&entries[name].2).unwrap()
    }

    #[test]
    fn same_files_give_the_same_bytes() {
        let again = blobs().archive("app", &["1"]).unwrap();
        assert_eq!(blobs().archive("app", &["1"]).unwrap(), again);
    }

    #[test]
    fn digest_follows_the_content_and_not_the_tag() {
        let mut changed = files();
        changed[0].content.push(b'!');
        let changed = Blobs::new(&changed, &["/app/bin/server"], "65532:65532").unwrap();
        assert_ne!(blobs().short_digest(), changed.short_digest());
        let user = Blobs::new(&files(), &["/app/bin/server"], "0:0").unwrap();
        assert_ne!(blobs().short_digest(), user.short_digest());
    }

    #[test]
    fn layer_has_folders_modes_and_fixed_times() {
        let layer = entries(&blobs().layer.bytes);
        assert_eq!(
            layer.keys().collect::<Vec<_>>(),
            ["app", "app/bin", "app/bin/server", "app/page.html"]
        );
        assert_eq!(layer["app/bin/server"].0, 0o755);
        assert_eq!(layer["app/page.html"].0, 0o644);
        assert!(layer.values().all(|(_, modified, _)| *modified == MODIFIED));
    }

    #[test]
    fn every_digest_names_a_blob_of_that_content() {
        let archive = entries(&blobs().archive("app", &["1", "1-abc"]).unwrap());
        let index = parsed(&archive, "index.json");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        let mut wanted = vec![index["manifests"][0].clone()];
        let manifest_path = wanted[0]["digest"]
            .as_str()
            .unwrap()
            .replace("sha256:", "blobs/sha256/");
        let manifest = parsed(&archive, &manifest_path);
        wanted.push(manifest["config"].clone());
        wanted.push(manifest["layers"][0].clone());
        for descriptor in wanted {
            let path = descriptor["digest"]
                .as_str()
                .unwrap()
                .replace("sha256:", "blobs/sha256/");
            let content = &archive[&path].2;
            assert_eq!(
                Blob::new(content.clone()).digest(),
                descriptor["digest"].as_str().unwrap()
            );
            assert_eq!(content.len() as u64, descriptor["size"].as_u64().unwrap());
        }
    }

    #[test]
    fn both_readers_find_every_tag() {
        let archive = entries(&blobs().archive("app", &["1", "1-abc"]).unwrap());
        let index = parsed(&archive, "index.json");
        assert_eq!(
            index["manifests"][1]["annotations"]["io.containerd.image.name"],
            "docker.io/library/app:1-abc"
        );
        let docker = parsed(&archive, "manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!(["app:1", "app:1-abc"]));
        assert!(archive.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
    }

    #[test]
    fn container_starts_the_entrypoint_as_the_user() {
        let archive = entries(&blobs().archive("app", &["1"]).unwrap());
        let docker = parsed(&archive, "manifest.json");
        let config = parsed(&archive, docker[0]["Config"].as_str().unwrap());
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/app/bin/server"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], blobs().layer.digest());
    }
}
