//! Certificates and keys for TLS: read at the start, and looked at again while the gateway runs. What
//! cannot be used never replaces what can.

mod in_use;

pub(crate) use self::in_use::InUse;

use self::in_use::{Expiring, Role};
use crate::cadence::Cadence;
use crate::certificate::Certificate;
use crate::config::{ClientCertificates, PairFiles, ServerTlsFiles, TlsFiles};
use crate::digest;
use anyhow::Context as _;
use gateway::config::{NamedServer, Server};
use gateway::tls::{Identity, ListenerTls, Roots, ServerTls};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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

/// Files, and what was made of them.
#[derive(Debug)]
struct Kept {
    made: Made,
    /// What was last seen there: a digest, or why it could not be read.
    seen: String,
}

#[derive(Debug)]
enum Made {
    Pair { files: PairFiles, identity: Arc<Identity>, expiring: Arc<Expiring> },
    Roots { server: String, file: PathBuf, roots: Arc<Roots> },
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
        let listener = match &files.listener {
            Some(pair) => {
                let identity = keep_pair(pair, (Role::Listener, ""), &mut kept)?;
                Some(match files.client_certificates {
                    ClientCertificates::Off => ListenerTls::new(identity)?,
                    ClientCertificates::Request => ListenerTls::asking_for_certificates(identity)?,
                })
            }
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
                tls = tls.trust_only(keep_roots(path, name, &mut kept)?);
            }
            if let Some(pair) = &files.pair {
                tls = tls.identified_by(keep_pair(pair, (Role::Client, name), &mut kept)?);
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

    /// Shows in `in_use` when each pair expires, for as long as it is in use.
    pub(crate) fn show_in(&self, in_use: &InUse) {
        for kept in &self.kept {
            if let Made::Pair { expiring, .. } = &kept.made {
                in_use.add(expiring);
            }
        }
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
        self.kept.retain(|kept| kept.made.is_in_use());
        self.kept.iter_mut().for_each(Kept::look);
    }
}

impl Kept {
    fn look(&mut self) {
        let (what, found) = self.made.read();
        let (seen, taken) = match found {
            Ok(found) if found.seen == self.seen => return,
            Ok(found) => (found.seen.clone(), self.made.replace(&found)),
            Err(error) => (format!("{error:#}"), Err(error)),
        };
        let news = seen != self.seen;
        self.seen = seen;
        match taken {
            Ok(()) => tracing::info!(%what, "new certificates are in use"),
            Err(error) if news => {
                tracing::error!(%what, "the old certificates stay in use: {error:#}");
            }
            Err(_) => {}
        }
    }
}

/// What files hold now.
struct Found {
    certificates: Vec<u8>,
    key: Option<keys::Secret>,
    /// Differs when a file does.
    seen: String,
}

impl Made {
    /// Whether anybody but us has it.
    fn is_in_use(&self) -> bool {
        match self {
            Self::Pair { identity, .. } => Arc::strong_count(identity) > 1,
            Self::Roots { roots, .. } => Arc::strong_count(roots) > 1,
        }
    }

    /// What it is, and what its files hold.
    fn read(&self) -> (String, anyhow::Result<Found>) {
        match self {
            Self::Pair { files, .. } => (files.table.clone(), read_pair(files)),
            Self::Roots { server, file, .. } => (format!("roots of {server}"), read_roots(file)),
        }
    }

    fn replace(&self, found: &Found) -> anyhow::Result<()> {
        match (self, &found.key) {
            (Self::Pair { files, identity, expiring }, Some(key)) => {
                identity.replace(&found.certificates, key).with_context(|| unusable(files))?;
                expiring.set(expiry_s(&found.certificates));
                Ok(())
            }
            (Self::Roots { server, file, roots }, _) => {
                roots.replace(&found.certificates).with_context(|| unusable_roots(server, file))
            }
            (Self::Pair { .. }, None) => Ok(()),
        }
    }
}

fn keep_pair(
    pair: &PairFiles,
    (role, server): (Role, &str),
    kept: &mut Vec<Kept>,
) -> anyhow::Result<Arc<Identity>> {
    let found = read_pair(pair)?;
    let key = found.key.as_deref().map(Vec::as_slice).unwrap_or_default();
    let identity = Identity::new(&found.certificates, key).with_context(|| unusable(pair))?;
    let identity = Arc::new(identity);
    let expiring = Expiring::new(role, server, expiry_s(&found.certificates));
    let made = Made::Pair {
        files: pair.clone(),
        identity: Arc::clone(&identity),
        expiring: Arc::new(expiring),
    };
    kept.push(Kept { made, seen: found.seen });
    Ok(identity)
}

fn keep_roots(file: &Path, server: &str, kept: &mut Vec<Kept>) -> anyhow::Result<Arc<Roots>> {
    let found = read_roots(file)?;
    let roots = Roots::new(&found.certificates).with_context(|| unusable_roots(server, file))?;
    let roots = Arc::new(roots);
    let made =
        Made::Roots { server: server.to_owned(), file: file.to_owned(), roots: Arc::clone(&roots) };
    kept.push(Kept { made, seen: found.seen });
    Ok(roots)
}

/// The end of the certificate of a chain that ends first, in seconds since 1970. A chain that TLS takes
/// and we cannot read has none.
fn expiry_s(chain: &[u8]) -> Option<i64> {
    let chain = Certificate::all(chain).ok()?;
    chain.iter().map(|certificate| certificate.not_after_s).min()
}

fn read_pair(pair: &PairFiles) -> anyhow::Result<Found> {
    let certificates = read_certificates(&pair.certificate)?;
    let key = keys::read_private(&pair.key, FILE_BYTES_MAX)?;
    let seen = format!("{} {}", digest::of(&certificates), digest::of(&key));
    Ok(Found { certificates, key: Some(key), seen })
}

fn read_roots(file: &Path) -> anyhow::Result<Found> {
    let certificates = read_certificates(file)?;
    let seen = digest::of(&certificates);
    Ok(Found { certificates, key: None, seen })
}

/// The bytes of a file of certificates, which is of bounded size.
pub(crate) fn read_certificates(path: &Path) -> anyhow::Result<Vec<u8>> {
    let what = || format!("cannot read the certificates `{}`", path.display());
    let length = std::fs::metadata(path).with_context(what)?.len();
    anyhow::ensure!(length <= FILE_BYTES_MAX, "`{}` is too large for certificates", path.display());
    std::fs::read(path).with_context(what)
}

fn unusable(pair: &PairFiles) -> String {
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    format!("`{}` with certificate `{certificate}` and key `{key}`", pair.table)
}

fn unusable_roots(server: &str, file: &Path) -> String {
    format!("roots of the server `{server}`: `{}`", file.display())
}

#[cfg(test)]
mod tests {
    use super::in_use::{Expiry, Role};
    use super::{Certificates, InUse, ServersTls};
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
        format!("{:?}", certificates.kept[0].made)
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
            TlsFiles { servers: [("crm".to_owned(), server)].into(), ..TlsFiles::default() }
        };
        let tls = |certificates: &Certificates| certificates.servers.0["crm"].1.clone();
        let first = Certificates::load(&of(None)).unwrap();
        let same = Certificates::load_beside(&of(None), &first.servers()).unwrap();
        assert_eq!((tls(&same) == tls(&first), same.kept.len()), (true, 0));
        let roots = Some(pair.certificate.clone());
        let mut other = Certificates::load_beside(&of(roots), &first.servers()).unwrap();
        assert_eq!((tls(&other) == tls(&first), other.kept.len()), (false, 2));
        other.look();
        assert_eq!(other.kept.len(), 2);
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

    #[test]
    fn authorities_of_a_server_are_exchanged_and_never_for_worse() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, _) = files(directory.path());
        write_pair(&pair);
        let roots = directory.path().join("ca.pem");
        fs::copy(&pair.certificate, &roots).unwrap();
        let server = ServerTlsFiles { roots: Some(roots.clone()), pair: None };
        let tls = TlsFiles { servers: [("crm".to_owned(), server)].into(), ..TlsFiles::default() };
        let mut certificates = Certificates::load(&tls).unwrap();
        let first = used(&certificates);
        fs::write(&roots, "nothing").unwrap();
        certificates.look();
        assert_eq!(used(&certificates), first);
        // All that shows of authorities is how many there are.
        let one = fs::read_to_string(&pair.certificate).unwrap();
        write_pair(&pair);
        let other = fs::read_to_string(&pair.certificate).unwrap();
        fs::write(&roots, format!("{one}{other}")).unwrap();
        certificates.look();
        assert_ne!(used(&certificates), first);
    }

    #[test]
    fn the_end_of_each_pair_in_use_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, tls) = files(directory.path());
        write_pair(&pair);
        let in_use = InUse::default();
        let mut certificates = Certificates::load(&tls).unwrap();
        certificates.show_in(&in_use);
        let first = in_use.expiries();
        // As rcgen makes them: until the year 4096.
        let until = |s| Expiry { role: Role::Listener, server: String::new(), not_after_s: s };
        assert_eq!(first, [until(67_090_118_400)]);
        let params = || {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(2026, 3, 1);
            params
        };
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(&pair.certificate, params().self_signed(&key).unwrap().pem()).unwrap();
        write_key(&pair.key, &key.serialize_pem());
        certificates.look();
        assert_eq!(in_use.expiries(), [until(1_772_323_200)]);
        drop(certificates);
        assert_eq!(in_use.expiries(), []);
    }
}
