//! The certificates and keys of one cluster: a fresh authority each time, because a cluster lives for
//! a test and its keys lie in a folder of the user's.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::components::SERVER_NAMES;
use super::node::Node;

/// A client of the API server: the name of its files, its user name and its group.
struct Client {
    file: String,
    user: String,
    group: &'static str,
}

fn clients(nodes: &[Node]) -> Vec<Client> {
    let client = |file: &str, user: &str, group| Client {
        file: file.to_owned(),
        user: user.to_owned(),
        group,
    };
    let mut clients = vec![
        client("admin", "admin", "system:masters"),
        client("controller-manager", "system:kube-controller-manager", ""),
        client("scheduler", "system:kube-scheduler", ""),
        client("kube-proxy", "system:kube-proxy", ""),
    ];
    clients.extend(nodes.iter().map(|node| Client {
        file: node.name(),
        user: format!("system:node:{}", node.name()),
        group: "system:nodes",
    }));
    clients
}

/// Writes everything into `folder`.
pub(super) fn write(folder: &Path, nodes: &[Node]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let authority_key = KeyPair::generate().context("make the authority's key")?;
    let mut authority = parameters(&[], "graceful-deployment test cluster", "")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let certificate = authority
        .self_signed(&authority_key)
        .context("sign the authority")?;
    save(folder, "ca.crt", &certificate.pem())?;
    save(folder, "ca.key", &authority_key.serialize_pem())?;
    let issuer = Issuer::from_params(&authority, &authority_key);

    let mut server = parameters(&SERVER_NAMES, "kube-apiserver", "")?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(folder, "apiserver", &server, &issuer)?;
    for client in clients(nodes) {
        let mut parameters = parameters(&[], &client.user, client.group)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        issue(folder, &client.file, &parameters, &issuer)?;
    }

    let service_accounts = KeyPair::generate().context("make the service accounts' key")?;
    save(
        folder,
        "service-accounts.key",
        &service_accounts.serialize_pem(),
    )?;
    save(
        folder,
        "service-accounts.pub",
        &service_accounts.public_key_pem(),
    )
}

fn parameters(names: &[&str], user: &str, group: &str) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).context("name a certificate")?;
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, user);
    if !group.is_empty() {
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    Ok(parameters)
}

fn issue(
    folder: &Path,
    file: &str,
    parameters: &CertificateParams,
    issuer: &Issuer<'_, &KeyPair>,
) -> Result<()> {
    let key = KeyPair::generate().with_context(|| format!("make the key of {file}"))?;
    let certificate = parameters
        .signed_by(&key, issuer)
        .with_context(|| format!("sign {file}"))?;
    save(folder, &format!("{file}.crt"), &certificate.pem())?;
    save(folder, &format!("{file}.key"), &key.serialize_pem())
}

fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(name))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_gets_a_key_that_only_its_owner_reads() {
        let folder = std::env::temp_dir().join(format!("graceful-pki-{}", std::process::id()));
        write(&folder, &[Node(1), Node(2)]).unwrap();
        for name in [
            "ca",
            "apiserver",
            "admin",
            "scheduler",
            "kube-proxy",
            "node-1",
            "node-2",
        ] {
            assert!(folder.join(format!("{name}.crt")).is_file(), "{name}");
            let key = fs::metadata(folder.join(format!("{name}.key"))).unwrap();
            assert_eq!(key.permissions().mode() & 0o777, 0o600, "{name}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
