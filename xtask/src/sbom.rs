//! `cargo xtask sbom`: what the two programs are made of, as a CycloneDX document. From cargo's own tree of what is
//! linked and the checksums of Cargo.lock, so that it needs no network, and the same tree gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::stage::in_root;
use crate::{folders, process};

/// What is linked: nothing of the tests, and nothing that runs in the build alone.
const TREE: &str = "tree --package graceful-deployment --locked --edges normal,no-proc-macro --prefix none \
                    --format {p}|{l} --target";

const PACKAGE: &str = "graceful-deployment";

/// One crate: name and version.
type Crate = (String, String);

/// Arguments of `cargo xtask sbom`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The platform of the programs
    #[arg(long, default_value = "x86_64-unknown-linux-musl")]
    target: String,
}

/// Writes target/sbom/graceful-deployment.cdx.json.
#[expect(clippy::print_stdout, reason = "the path is the command's result")]
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cargo = in_root("cargo")?;
    cargo.args(TREE.split_whitespace()).arg(&args.target);
    let tree = process::output(&mut cargo).context("ask cargo what is linked")?;
    let lock =
        fs::read_to_string(folders::workspace()?.join("Cargo.lock")).context("read Cargo.lock")?;
    let document = document(&String::from_utf8_lossy(&tree.stdout), &lock)?;
    let path = path()?;
    let folder = path.parent().context("a folder for the document")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let text = serde_json::to_string_pretty(&document)? + "\n";
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn path() -> Result<PathBuf> {
    Ok(folders::target()?.join("sbom/graceful-deployment.cdx.json"))
}

fn document(tree: &str, lock: &str) -> Result<Value> {
    let checksums = checksums(lock);
    let crates: BTreeMap<Crate, &str> = tree.lines().filter_map(linked).collect();
    let own = crates.keys().find(|(name, _)| name == PACKAGE);
    let own = own.context("cargo's tree is not of our package")?;
    let others: BTreeSet<_> = crates.keys().filter(|one| *one != own).collect();
    ensure!(!others.is_empty(), "cargo's tree has no dependencies");
    let components: Vec<_> = others
        .into_iter()
        .map(|one| {
            let checksum = checksums.get(one);
            let checksum = checksum.with_context(|| format!("{} is not in Cargo.lock", one.0))?;
            let license = crates.get(one).copied().unwrap_or_default();
            Ok(component(one, checksum, license))
        })
        .collect::<Result<_>>()?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": PACKAGE, "name": own.0, "version": own.1,
            "licenses": [{"expression": "Apache-2.0"}],
        }},
        "components": components,
    }))
}

fn component((name, version): &Crate, checksum: &str, license: &str) -> Value {
    let purl = format!("pkg:cargo/{name}@{version}");
    // The old way of saying `or`, which is no expression of SPDX.
    let license = license.replace('/', " OR ");
    json!({
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": checksum}],
        "licenses": [{"expression": license}],
    })
}

/// A line of the tree: `name v1.2.3|MIT`, or `name v1.2.3 (/a/folder)|MIT (*)`.
fn linked(line: &str) -> Option<(Crate, &str)> {
    let (package, license) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let license = license.trim_end_matches("(*)").trim();
    Some(((name.to_owned(), version.to_owned()), license))
}

/// Checksums of the crates in Cargo.lock.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let of = |entry: &str| {
        let field = |name: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.strip_prefix(" = ")?.trim_matches('"').to_owned())
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "
[[package]]
name = \"serde\"
version = \"1.0.2\"
source = \"registry\"
checksum = \"ab12\"
";

    #[test]
    fn document_has_what_is_linked_with_its_checksum() {
        let tree = "graceful-deployment v0.1.0 (/a)|Apache-2.0\nserde v1.0.2|MIT/Apache-2.0\nserde v1.0.2|MIT/Apache-2.0 (*)\n";
        let document = document(tree, LOCK).unwrap();
        assert_eq!(document["metadata"]["component"]["version"], "0.1.0");
        let component = json!({
            "type": "library", "bom-ref": "pkg:cargo/serde@1.0.2", "name": "serde", "version": "1.0.2",
            "purl": "pkg:cargo/serde@1.0.2", "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": "ab12"}],
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        });
        assert_eq!(document["components"], json!([component]));
    }

    #[test]
    fn crate_without_a_checksum_is_an_error() {
        let tree = "graceful-deployment v0.1.0|Apache-2.0\nother v1.0.0|MIT\n";
        assert!(document(tree, LOCK).is_err());
    }
}
