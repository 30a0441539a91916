//! Builds the operator and the agent as static programs: for musl where its target is installed, else
//! for glibc with the C runtime linked in. Knows nothing about images.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Progress};
use crate::stage::in_root;
use crate::{check, folders};

const BINARIES: [&str; 2] = ["graceful-operator", "graceful-agent"];

/// The one version that is used.
const CARGO_AUDITABLE: &str = "0.7.7";

/// The folder that holds the built programs. Auditable ones carry the list of what they are made of, which
/// scanners of images read.
pub(super) fn build(progress: Progress, is_auditable: bool) -> Result<PathBuf> {
    let mut cargo = if is_auditable {
        let program = check::installed("cargo-auditable", CARGO_AUDITABLE, "")?;
        let mut cargo = in_root(&program.to_string_lossy())?;
        cargo.arg("auditable");
        cargo
    } else {
        in_root("cargo")?
    };
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "graceful-deployment",
        ])
        .args(BINARIES.iter().flat_map(|binary| ["--bin", binary]));
    let target = make_static(&mut cargo)?;
    progress.say(format!("building {} for {target}", BINARIES.join(" and ")));
    process::run(&mut cargo)?;
    Ok(folders::target()?.join(&target).join("release"))
}

/// Makes what a `cargo build` builds static, and says for which target that is.
pub(crate) fn make_static(cargo: &mut Command) -> Result<String> {
    let host = host_target()?;
    let (target, is_musl) = static_target(&host, installed);
    // Said even where it is the host: flags for a named target stay away from build scripts and
    // procedural macros, which cannot be linked statically.
    cargo.args(["--target", &target]);
    if !is_musl {
        cargo.env(rustflags_variable(&target), "-C target-feature=+crt-static");
    } else if std::env::var_os(format!("CC_{}", target.replace('-', "_"))).is_none()
        && process::find("musl-gcc").is_none()
    {
        // ring's C and assembly need no C library, so the ordinary compiler does.
        cargo.env(format!("CC_{}", target.replace('-', "_")), "cc");
    }
    Ok(target)
}

/// The target to build for, and whether it is musl.
fn static_target(host: &str, is_installed: impl Fn(&str) -> bool) -> (String, bool) {
    let architecture = host.split('-').next().unwrap_or(host);
    let musl = format!("{architecture}-unknown-linux-musl");
    if is_installed(&musl) {
        (musl, true)
    } else {
        (host.to_owned(), false)
    }
}

fn host_target() -> Result<String> {
    let output = process::output(Command::new("rustc").args(["--print", "host-tuple"]))
        .context("ask rustc for its target")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether the toolchain has the target's standard library; asked of rustc, because not every machine
/// has rustup.
fn installed(target: &str) -> bool {
    process::output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|output| {
            let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Path::new(&folder).is_dir()
        })
}

fn rustflags_variable(target: &str) -> String {
    format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        target.to_uppercase().replace('-', "_")
    )
}

/// A program that asks for a loader would not start in an empty image, and only there.
pub(super) fn check_static(binary: &Path) -> Result<()> {
    let bytes = std::fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
    if has_interpreter(&bytes) {
        bail!(
            "{} is not static: it names a dynamic loader",
            binary.display()
        );
    }
    Ok(())
}

/// Whether a 64-bit little-endian ELF file has a `PT_INTERP` header.
fn has_interpreter(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |n, byte| n << 8 | u64::from(*byte)),
        )
    };
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    (0..count).any(|entry| {
        let at = table.saturating_add(entry * size);
        usize::try_from(at)
            .ok()
            .and_then(|at| number(at, 4))
            .is_some_and(|kind| kind == PT_INTERP)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn musl_is_taken_where_it_is_installed() {
        let host = "x86_64-unknown-linux-gnu";
        assert_eq!(
            static_target(host, |target| target == "x86_64-unknown-linux-musl"),
            ("x86_64-unknown-linux-musl".to_owned(), true)
        );
        assert_eq!(static_target(host, |_| false), (host.to_owned(), false));
    }

    #[test]
    fn program_of_the_host_names_its_loader() {
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(has_interpreter(&shell));
        assert!(!has_interpreter(b"\x7fELF"));
    }

    #[test]
    fn flags_are_named_for_the_target() {
        assert_eq!(
            rustflags_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"
        );
    }
}
