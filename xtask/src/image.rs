//! Container images as tar files, without Docker: `cargo xtask image` makes the operator's and the
//! agent's, [`write`](fn@write) makes any other from its files. The same files give the same bytes.

mod archive;
mod binaries;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
pub(crate) use binaries::make_static;
use sha2::{Digest as _, Sha256};

use crate::folders;
use crate::process::Progress;

/// The user of every image of ours: any but root, and the number that others use for "nobody in
/// particular", so that `runAsNonRoot` can be checked by number.
pub(crate) const NON_ROOT: &str = "65532:65532";

/// A file of an image.
pub(crate) struct ImageFile {
    /// Absolute path in the image.
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) executable: bool,
}

/// An image that was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The tar: an OCI layout that `docker load` understands as well.
    pub(crate) archive: PathBuf,
    pub(crate) name: String,
    /// The tag that was asked for.
    pub(crate) tag: String,
    /// That tag and the start of the content's digest. A workload that names it rolls exactly when the
    /// content changed, though the version did not.
    pub(crate) content_tag: String,
}

/// Writes target/images/NAME.tar.
pub(crate) fn write(
    name: &str,
    tag: &str,
    files: &[ImageFile],
    entrypoint: &[&str],
    user: &str,
) -> Result<Written> {
    let folder = folders::target()?.join("images");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let blobs = archive::Blobs::new(files, entrypoint, user)?;
    let content_tag = format!("{tag}-{}", blobs.short_digest());
    let archive = folder.join(format!("{name}.tar"));
    let bytes = blobs.archive(name, &[tag, &content_tag])?;
    // A reader of the old file keeps what it has.
    let unfinished = folder.join(format!(".{name}.{}.unfinished", std::process::id()));
    fs::write(&unfinished, bytes).with_context(|| format!("write {}", unfinished.display()))?;
    fs::rename(&unfinished, &archive).with_context(|| format!("write {}", archive.display()))?;
    Ok(Written {
        archive,
        name: name.to_owned(),
        tag: tag.to_owned(),
        content_tag,
    })
}

/// `cargo xtask image`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make an image of this static program instead of the operator's and the agent's
    program: Option<PathBuf>,
    /// The tag of that image
    #[arg(long, default_value = "latest", requires = "program")]
    tag: String,
    /// Put into the programs what they are made of, for scanners of images
    #[arg(long, conflicts_with = "program")]
    auditable: bool,
}

/// Builds the binaries and writes both images, or writes the one of a given program.
#[expect(clippy::print_stdout, reason = "the paths are the command's result")]
pub(crate) fn main(args: &Args) -> Result<()> {
    let images = match &args.program {
        Some(program) => vec![of_program(program, &args.tag)?],
        None => build_with(Progress::start(), args.auditable)?.to_vec(),
    };
    for image in images {
        println!("{}", image.line());
    }
    Ok(())
}

impl Written {
    /// As `cargo xtask image` prints it: file, name with tag, and name with the tag that follows the content.
    fn line(&self) -> String {
        let Self {
            archive,
            name,
            tag,
            content_tag,
        } = self;
        format!("{} {name}:{tag} {name}:{content_tag}", archive.display())
    }

    /// Reads such a line; `None` for any other.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let [archive, tagged, by_content] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (name, tag) = tagged.split_once(':')?;
        let (_, content_tag) = by_content.split_once(':')?;
        Some(Self {
            archive: archive.into(),
            name: name.to_owned(),
            tag: tag.to_owned(),
            content_tag: content_tag.to_owned(),
        })
    }
}

/// An image of one static program, named after it.
pub(crate) fn of_program(program: &Path, tag: &str) -> Result<Written> {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("find the name of {}", program.display()))?;
    binaries::check_static(program)?;
    let path = format!("/{name}");
    let files = [ImageFile {
        path: path.clone(),
        content: fs::read(program).with_context(|| format!("read {}", program.display()))?,
        executable: true,
    }];
    write(name, tag, &files, &[&path], NON_ROOT)
}

/// Builds the operator and the agent as they are shipped, and says where they are.
pub(crate) fn programs(progress: Progress) -> Result<PathBuf> {
    binaries::build(progress, false)
}

/// The operator's image and the agent's, in this order.
pub(crate) fn build(progress: Progress) -> Result<[Written; 2]> {
    build_with(progress, false)
}

fn build_with(progress: Progress, is_auditable: bool) -> Result<[Written; 2]> {
    let folder = binaries::build(progress, is_auditable)?;
    let image = |name: &str| -> Result<Written> {
        let written = of_program(&folder.join(name), env!("CARGO_PKG_VERSION"))?;
        let size = fs::metadata(&written.archive)
            .context("read the image's size")?
            .len();
        progress.say(format!(
            "{name}:{} {} kB, {}",
            written.content_tag,
            size / 1000,
            written.archive.display()
        ));
        Ok(written)
    };
    Ok([image("graceful-operator")?, image("graceful-agent")?])
}

/// A short name for some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes), 12)
}

/// The first `length` characters of the bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8], length: usize) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_image_is_read_as_it_was_written() {
        let line =
            "/target/images/graceful-agent.tar graceful-agent:0.1.0 graceful-agent:0.1.0-5d19";
        let image = Written::of_line(line).unwrap();
        assert_eq!(
            image.archive,
            Path::new("/target/images/graceful-agent.tar")
        );
        assert_eq!(
            (image.name.as_str(), image.content_tag.as_str()),
            ("graceful-agent", "0.1.0-5d19")
        );
        assert_eq!(image.line(), line);
        assert!(Written::of_line("Compiling something v1").is_none());
    }
}
