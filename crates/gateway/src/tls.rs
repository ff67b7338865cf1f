//! TLS on both sides: who we are to clients and to servers, and whom we trust behind us. Takes PEM in
//! memory and refuses to know where it is kept; versions are TLS 1.2 and 1.3, nothing is negotiable
//! below.

use arc_swap::ArcSwap;
use identity::Certificates;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate chain and its private key, which can be exchanged while connections use them: those
/// that are open keep the old pair, new ones get the new one.
#[derive(Debug)]
pub struct Identity {
    current: ArcSwap<CertifiedKey>,
}

/// The authorities that are trusted behind us, which can be exchanged while connections use them: those
/// that are open stay, new ones are judged by the new authorities.
#[derive(Debug)]
pub struct Roots {
    /// How rustls itself judges a server, with these authorities.
    current: ArcSwap<WebPkiServerVerifier>,
}

/// Why certificates or keys cannot be used. Nothing of a key is shown.
#[derive(Debug, thiserror::Error)]
pub enum BadPem {
    /// There is no certificate in what should hold some.
    #[error("the file holds no certificate: it must hold the chain in PEM, the own one first")]
    NoCertificate,
    /// There is no private key in what should hold one.
    #[error("the file holds no private key: it must hold one in PEM (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    /// What is there is not PEM.
    #[error("the file is not PEM: {0}")]
    NotPem(String),
    /// The key is of a kind that cannot be used, or is not the one of the certificate.
    #[error("certificate and key do not go together: {0}")]
    Pair(String),
    /// A certificate is not one.
    #[error("a certificate cannot be used: {0}")]
    Certificate(String),
    /// TLS itself cannot be had.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

impl Identity {
    /// Reads a chain, the own certificate first, and its key.
    ///
    /// # Errors
    /// [`BadPem`], also when the key is not that of the certificate.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, BadPem> {
        Ok(Self { current: ArcSwap::from_pointee(certified(certificates, key)?) })
    }

    /// Exchanges the pair.
    ///
    /// # Errors
    /// [`BadPem`]; the old pair stays.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), BadPem> {
        self.current.store(Arc::new(certified(certificates, key)?));
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Roots {
    /// Reads the certificates of authorities in this PEM text.
    ///
    /// # Errors
    /// [`BadPem`].
    pub fn new(certificates: &[u8]) -> Result<Self, BadPem> {
        Ok(Self { current: ArcSwap::new(verifier(certificates)?) })
    }

    /// Exchanges all of them.
    ///
    /// # Errors
    /// [`BadPem`]; the old ones stay.
    pub fn replace(&self, certificates: &[u8]) -> Result<(), BadPem> {
        self.current.store(verifier(certificates)?);
        Ok(())
    }
}

/// Judges nothing by itself: everything is asked of rustls' own verifier.
impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let current = self.current.load();
        current.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().supported_verify_schemes()
    }
}

/// TLS towards clients.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    config: Arc<ServerConfig>,
}

/// Takes every certificate whose key the handshake proves, and trusts none: whom it names is judged where a
/// refusal is on record.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if CHAIN_MAX <= intermediates.len() {
            return Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ListenerTls {
    /// TLS with this certificate; HTTP/2 and HTTP/1.1 are offered by ALPN.
    ///
    /// # Errors
    /// [`BadPem::Library`].
    pub fn new(identity: Arc<Identity>) -> Result<Self, BadPem> {
        Ok(Self { config: Arc::new(listening(identity, Arc::new(NoClientAuth))?) })
    }

    /// The same, which asks clients for certificates. They need not have any.
    ///
    /// # Errors
    /// [`BadPem::Library`].
    pub fn asking_for_certificates(identity: Arc<Identity>) -> Result<Self, BadPem> {
        let mut config = listening(identity, Arc::new(AnyCertificate(provider())))?;
        // A session that is resumed shows no key.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config) })
    }

    /// The handshake of one connection. The caller bounds its time.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await
    }
}

fn listening(
    identity: Arc<Identity>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, BadPem> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| BadPem::Library(error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    Ok(config)
}

/// The certificates that a client has presented, whose key it has.
pub(crate) fn presented(stream: &TlsStream<TcpStream>) -> Option<Certificates> {
    let chain = stream.get_ref().1.peer_certificates()?;
    Certificates::new(chain.iter().map(|certificate| certificate.to_vec()).collect())
}

/// Whether a client has chosen HTTP/2.
pub(crate) fn chose_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

/// TLS towards one server: by default its certificate must lead to a public authority, and we have none.
#[derive(Debug, Clone, Default)]
pub struct ServerTls {
    roots: Option<Arc<Roots>>,
    identity: Option<Arc<Identity>>,
}

/// The same when nothing was loaded anew: what was is another, even from equal files.
impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        let of = |tls: &Self| {
            (tls.roots.as_ref().map(Arc::as_ptr), tls.identity.as_ref().map(Arc::as_ptr))
        };
        of(self) == of(other)
    }
}

impl Eq for ServerTls {}

impl ServerTls {
    /// Trusts these authorities, and no public ones.
    #[must_use]
    pub fn trust_only(self, roots: Arc<Roots>) -> Self {
        Self { roots: Some(roots), ..self }
    }

    /// Shows this certificate to the server when it asks for one.
    #[must_use]
    pub fn identified_by(self, identity: Arc<Identity>) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// What rustls is told. ALPN is left to whoever knows the protocols.
    pub(crate) fn config(&self) -> Result<ClientConfig, rustls::Error> {
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let builder = match &self.roots {
            Some(roots) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::<Roots>::clone(roots))
            }
            None => builder.with_root_certificates(RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            }),
        };
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::<Identity>::clone(identity)),
            None => builder.with_no_client_auth(),
        };
        if self.roots.is_some() || self.identity.is_some() {
            // A session that is resumed is not judged again, and is that of the old certificate.
            config.resumption = Resumption::disabled();
        }
        Ok(config)
    }
}

fn certified(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, BadPem> {
    let chain = chain(certificates)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        PemError::NoItemsFound => BadPem::NoKey,
        other => BadPem::NotPem(other.to_string()),
    })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| BadPem::Pair(error.to_string()))
}

fn verifier(certificates: &[u8]) -> Result<Arc<WebPkiServerVerifier>, BadPem> {
    let mut roots = RootCertStore::empty();
    for root in chain(certificates)? {
        roots.add(root).map_err(|error| BadPem::Certificate(error.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| BadPem::Library(error.to_string()))
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| BadPem::NotPem(error.to_string()))?;
    if chain.is_empty() { Err(BadPem::NoCertificate) } else { Ok(chain) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

const VERSIONS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
/// Most certificates of a client that are looked at.
const CHAIN_MAX: usize = 8;

const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use super::{BadPem, Identity, Roots};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn only_a_pair_that_goes_together_is_taken() {
        let (certificate, key) = pair();
        let (other, other_key) = pair();
        let identity = Identity::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let before = identity.current.load_full();
        for (certificate, key, expected) in [
            (&certificate, &other_key, "do not go together"),
            (&other, &key, "do not go together"),
            (&key, &key, "no certificate"),
            (&certificate, &certificate, "no private key"),
            (&String::new(), &key, "no certificate"),
            (&certificate.replace("MII", "%%%"), &key, "not PEM"),
        ] {
            let error = identity.replace(certificate.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(std::sync::Arc::ptr_eq(&before, &identity.current.load()), "{error}");
        }
        identity.replace(other.as_bytes(), other_key.as_bytes()).unwrap();
        assert!(!std::sync::Arc::ptr_eq(&before, &identity.current.load()));
    }

    #[test]
    fn roots_are_certificates() {
        let (certificate, key) = pair();
        let roots = Roots::new(certificate.as_bytes()).unwrap();
        let before = roots.current.load_full();
        for error in [Roots::new(key.as_bytes()).unwrap_err(), roots.replace(b"").unwrap_err()] {
            assert!(matches!(error, BadPem::NoCertificate));
        }
        assert!(std::sync::Arc::ptr_eq(&before, &roots.current.load()));
        roots.replace(pair().0.as_bytes()).unwrap();
        assert!(!std::sync::Arc::ptr_eq(&before, &roots.current.load()));
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let (certificate, key) = pair();
        let identity = Identity::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let secret = key.lines().nth(1).unwrap();
        assert!(!format!("{identity:?}").contains(secret));
        let error = Identity::new(certificate.as_bytes(), &key.as_bytes()[..80]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret.get(..10).unwrap()));
    }
}
