//! The tables `[gateway.tls]` and `[server.tls]`: where certificates and keys are. Opens no file;
//! `certificates.rs` does.

use super::{Checker, file};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[gateway.tls]`: TLS towards clients.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GatewayTls {
    /// PEM file with the chain, the own certificate first. Required.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with its private key, for its owner only. Required.
    pub(crate) key: Option<PathBuf>,
    /// Whether clients are asked for certificates. Default: off.
    pub(crate) client_certificates: ClientCertificates,
}

/// Whether clients are asked for certificates in the handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientCertificates {
    /// They are not.
    #[default]
    Off,
    /// They are, and need not have any. Whom one names is for `[identity]`.
    Request,
}

/// `[server.tls]`: TLS towards an `https` server.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerTls {
    /// PEM file with the authorities that are trusted, instead of the public ones.
    pub(crate) roots: Option<PathBuf>,
    /// PEM file with the certificate chain of the gateway, for a server that asks for one.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with its private key, for its owner only.
    pub(crate) key: Option<PathBuf>,
}

/// All files of certificates and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) listener: Option<PairFiles>,
    pub(crate) client_certificates: ClientCertificates,
    /// By the name of the server.
    pub(crate) servers: BTreeMap<String, ServerTlsFiles>,
}

/// The files of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerTlsFiles {
    pub(crate) roots: Option<PathBuf>,
    pub(crate) pair: Option<PairFiles>,
}

impl ServerTlsFiles {
    /// Whether these are the files of the other one, whatever table names them.
    pub(crate) fn are_those_of(&self, other: &Self) -> bool {
        let of = |files: &Self| {
            let pair = files.pair.clone().map(|pair| (pair.certificate, pair.key));
            (files.roots.clone(), pair)
        };
        of(self) == of(other)
    }
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PairFiles {
    /// The table that names them.
    pub(crate) table: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Checker<'_> {
    pub(super) fn tls(&mut self, file: &file::File) -> TlsFiles {
        let listener = file.gateway.tls.as_ref().and_then(|tls| {
            let pair = self.pair("gateway.tls", &tls.certificate, &tls.key);
            if tls.certificate.is_none() && tls.key.is_none() {
                self.wrong("gateway.tls", "needs `certificate` and `key`");
            }
            pair
        });
        let mut servers = BTreeMap::new();
        for (i, server) in file.server.iter().enumerate() {
            let Some(tls) = &server.tls else { continue };
            let table = match &*file.server {
                [_] => "server.tls".to_owned(),
                _ => format!("server[{i}].tls"),
            };
            if server.url.as_ref().is_none_or(|url| !url.starts_with("https:")) {
                self.wrong(&table, "is for servers with an `https` URL");
            }
            let pair = self.pair(&table, &tls.certificate, &tls.key);
            let roots = tls.roots.clone().map(|roots| self.path(roots));
            let name = server.name.clone().unwrap_or_default();
            servers.insert(name, ServerTlsFiles { roots, pair });
        }
        let asked = file.gateway.tls.as_ref().map(|tls| tls.client_certificates);
        TlsFiles { listener, client_certificates: asked.unwrap_or_default(), servers }
    }

    fn pair(
        &mut self,
        table: &str,
        certificate: &Option<PathBuf>,
        key: &Option<PathBuf>,
    ) -> Option<PairFiles> {
        match (certificate.clone(), key.clone()) {
            (Some(certificate), Some(key)) => Some(PairFiles {
                table: table.to_owned(),
                certificate: self.path(certificate),
                key: self.path(key),
            }),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong(table, "has a `certificate` and no `key`; add it");
                None
            }
            (None, Some(_)) => {
                self.wrong(table, "has a `key` and no `certificate`; add it");
                None
            }
        }
    }
}
