//! Certificates and keys for TLS: read at the start, and looked at again while the gateway runs. A pair
//! that cannot be used never replaces one that can.

use crate::cadence::Cadence;
use crate::config::{PairFiles, ServerTlsFiles, TlsFiles};
use crate::digest;
use anyhow::Context as _;
use gateway::config::{NamedServer, Server};
use gateway::tls::{Identity, ListenerTls, ServerTls};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of a file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All certificates in use.
#[derive(Debug)]
pub(crate) struct Certificates {
    listener: Option<ListenerTls>,
    servers: ServersTls,
    kept: Vec<Kept>,
}

/// TLS towards the servers, by their names, with the files that it was made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServersTls(BTreeMap<String, (ServerTlsFiles, ServerTls)>);

/// A pair of files, and what was made of them.
#[derive(Debug)]
struct Kept {
    files: PairFiles,
    identity: Arc<Identity>,
    /// What was last seen there: a digest, or why it could not be read.
    seen: String,
}

impl Certificates {
    /// Reads every file. Whatever cannot be used is an error.
    pub(crate) fn load(files: &TlsFiles) -> anyhow::Result<Self> {
        Self::load_beside(files, &ServersTls::default())
    }

    /// As [`Certificates::load`], but for the servers whose files are in use already: those keep what they
    /// have, so that nothing changes for them.
    pub(crate) fn load_beside(files: &TlsFiles, used: &ServersTls) -> anyhow::Result<Self> {
        let mut kept = Vec::new();
        let mut keep = |pair: &PairFiles| -> anyhow::Result<Arc<Identity>> {
            let (chain, key) = read(pair)?;
            let identity = Identity::new(&chain, &key).with_context(|| unusable(pair))?;
            let identity = Arc::new(identity);
            let seen = fingerprint(&chain, &key);
            kept.push(Kept { files: pair.clone(), identity: Arc::clone(&identity), seen });
            Ok(identity)
        };
        let listener = match &files.listener {
            Some(pair) => Some(ListenerTls::new(keep(pair)?)?),
            None => None,
        };
        let mut servers = BTreeMap::new();
        for (name, files) in &files.servers {
            if let Some((_, tls)) = used.0.get(name).filter(|(used, _)| used.are_those_of(files)) {
                servers.insert(name.clone(), (files.clone(), tls.clone()));
                continue;
            }
            let mut tls = ServerTls::default();
            if let Some(path) = &files.roots {
                let what = || format!("roots of the server `{name}`: `{}`", path.display());
                tls = tls.trust_only(&read_certificates(path)?).with_context(what)?;
            }
            if let Some(pair) = &files.pair {
                tls = tls.identified_by(keep(pair)?);
            }
            servers.insert(name.clone(), (files.clone(), tls));
        }
        Ok(Self { listener, servers: ServersTls(servers), kept })
    }

    /// TLS towards clients.
    pub(crate) fn listener(&self) -> Option<ListenerTls> {
        self.listener.clone()
    }

    /// TLS towards the servers.
    pub(crate) fn servers(&self) -> ServersTls {
        self.servers.clone()
    }

    /// The servers, each with its own TLS.
    pub(crate) fn for_servers(&self, mut servers: Vec<NamedServer>) -> Vec<NamedServer> {
        for NamedServer { name, server, .. } in &mut servers {
            if let (Server::Http { tls, .. } | Server::Sse { tls, .. }, Some((_, own))) =
                (server, self.servers.0.get(name))
            {
                *tls = own.clone();
            }
        }
        servers
    }

    /// Looks at the files again and again until `stop`, as long as what was made of them is in use.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        (self.listener, self.servers) = (None, ServersTls::default());
        let mut cadence = Cadence::later(LOOK_INTERVAL, stop);
        while !self.kept.is_empty() && cadence.next().await {
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(same) => self = same,
                Err(error) => {
                    tracing::error!(%error, "certificates are no longer looked at");
                    return;
                }
            }
        }
    }

    /// Takes what has changed and can be used; says once what cannot.
    fn look(&mut self) {
        self.kept.retain(|kept| Arc::strong_count(&kept.identity) > 1);
        for kept in &mut self.kept {
            let table = &kept.files.table;
            let (seen, taken) = match read(&kept.files) {
                Ok((chain, key)) => {
                    let seen = fingerprint(&chain, &key);
                    if seen == kept.seen {
                        continue;
                    }
                    let taken = kept.identity.replace(&chain, &key);
                    (seen, taken.with_context(|| unusable(&kept.files)))
                }
                Err(error) => (format!("{error:#}"), Err(error)),
            };
            let news = seen != kept.seen;
            kept.seen = seen;
            match taken {
                Ok(()) => tracing::info!(%table, "a new certificate is in use"),
                Err(error) if news => {
                    tracing::error!(%table, "the old certificate stays in use: {error:#}");
                }
                Err(_) => {}
            }
        }
    }
}

fn read(pair: &PairFiles) -> anyhow::Result<(Vec<u8>, keys::Secret)> {
    let chain = read_certificates(&pair.certificate)?;
    Ok((chain, keys::read_private(&pair.key, FILE_BYTES_MAX)?))
}

fn read_certificates(path: &Path) -> anyhow::Result<Vec<u8>> {
    let what = || format!("cannot read the certificates `{}`", path.display());
    let length = std::fs::metadata(path).with_context(what)?.len();
    anyhow::ensure!(length <= FILE_BYTES_MAX, "`{}` is too large for certificates", path.display());
    std::fs::read(path).with_context(what)
}

fn unusable(pair: &PairFiles) -> String {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    format!("`{}` with certificate `{certificate}` and key `{key}`", pair.table)
}

/// Differs when either file does.
fn fingerprint(chain: &[u8], key: &[u8]) -> String {
    format!("{} {}", digest::of(chain), digest::of(key))
}

#[cfg(test)]
mod tests {
    use super::{Certificates, ServersTls};
    use crate::config::{PairFiles, ServerTlsFiles, TlsFiles};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn write_pair(files: &PairFiles) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        write_key(&files.key, &made.signing_key.serialize_pem());
    }

    fn write_key(path: &Path, pem: &str) {
        fs::write(path, pem).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn files(directory: &Path) -> (PairFiles, TlsFiles) {
        let pair = PairFiles {
            table: "gateway.tls".to_owned(),
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        (pair.clone(), TlsFiles { listener: Some(pair), ..TlsFiles::default() })
    }

    /// The pair in use, as far as it shows.
    fn used(certificates: &Certificates) -> String {
        format!("{:?}", certificates.kept[0].identity)
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, tls) = files(directory.path());
        let refused = || format!("{:#}", Certificates::load(&tls).unwrap_err());
        assert!(refused().contains("cert.pem"), "{}", refused());
        write_pair(&pair);
        Certificates::load(&tls).unwrap();
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused().contains("chmod 600"), "{}", refused());
        write_key(&pair.key, "nothing");
        assert!(refused().contains("`gateway.tls`") && refused().contains("no private key"));
        fs::remove_file(&pair.key).unwrap();
        assert!(refused().contains("key.pem"), "{}", refused());
    }

    #[test]
    fn what_a_server_uses_stays_as_long_as_its_files_do() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, _) = files(directory.path());
        write_pair(&pair);
        let of = |roots| {
            let server = ServerTlsFiles { roots, pair: Some(pair.clone()) };
            TlsFiles { listener: None, servers: [("crm".to_owned(), server)].into() }
        };
        let tls = |certificates: &Certificates| certificates.servers.0["crm"].1.clone();
        let first = Certificates::load(&of(None)).unwrap();
        let same = Certificates::load_beside(&of(None), &first.servers()).unwrap();
        assert_eq!((tls(&same) == tls(&first), same.kept.len()), (true, 0));
        let roots = Some(pair.certificate.clone());
        let mut other = Certificates::load_beside(&of(roots), &first.servers()).unwrap();
        assert_eq!((tls(&other) == tls(&first), other.kept.len()), (false, 1));
        other.look();
        assert_eq!(other.kept.len(), 1);
        other.servers = ServersTls::default();
        other.look();
        assert_eq!(other.kept.len(), 0, "nobody uses it any more");
    }

    #[test]
    fn only_a_good_pair_replaces_a_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, tls) = files(directory.path());
        write_pair(&pair);
        let mut certificates = Certificates::load(&tls).unwrap();
        let first = used(&certificates);
        certificates.look();
        assert_eq!(used(&certificates), first);
        // The certificate first, then its key: in between they do not go together.
        let old_key = fs::read_to_string(&pair.key).unwrap();
        write_pair(&pair);
        let new_key = fs::read_to_string(&pair.key).unwrap();
        write_key(&pair.key, &old_key);
        certificates.look();
        assert_eq!(used(&certificates), first);
        fs::remove_file(&pair.key).unwrap();
        certificates.look();
        assert_eq!(used(&certificates), first);
        write_key(&pair.key, &new_key);
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
        certificates.look();
        assert_eq!(used(&certificates), first, "others can use the new key");
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).unwrap();
        certificates.look();
        assert_ne!(used(&certificates), first);
    }
}
