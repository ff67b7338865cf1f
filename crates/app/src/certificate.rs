//! What a certificate says of itself (RFC 5280): for whom it is, from when and until when. Verifies nothing;
//! whoever uses it in TLS does.

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::IpAddr;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is of use to those who look after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Its subject as RFC 4514 writes it; may be empty.
    pub(crate) subject: String,
    /// Seconds since 1970 from which it counts.
    pub(crate) not_before_s: i64,
    /// Seconds since 1970 until which it counts.
    pub(crate) not_after_s: i64,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Certificate {
    /// All certificates of a PEM text, in their order.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub(crate) fn all(pem: &[u8]) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for (number, der) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let der = der.map_err(|error| anyhow::anyhow!("not PEM: {error}"))?;
            let one = Self::read(&der).with_context(|| format!("certificate {number}"))?;
            all.push(one);
        }
        anyhow::ensure!(!all.is_empty(), "there is no certificate in it");
        Ok(all)
    }

    fn read(der: &[u8]) -> anyhow::Result<Self> {
        let read = x509_cert::Certificate::from_der(der)
            .map_err(|error| anyhow::anyhow!("cannot be read: {error}"))?;
        let signed = read.tbs_certificate();
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        let named = signed.get_extension::<SubjectAltName>();
        let named = named.map_err(|error| anyhow::anyhow!("its names cannot be read: {error}"))?;
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for name in named.map(|(_, names)| names.0).unwrap_or_default() {
            match name {
                GeneralName::DnsName(name) => names.push(name.as_str().to_ascii_lowercase()),
                GeneralName::IpAddress(bytes) => addresses.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        Ok(Self {
            subject: signed.subject().to_string(),
            not_before_s: seconds(signed.validity().not_before),
            not_after_s: seconds(signed.validity().not_after),
            names,
            addresses,
        })
    }

    /// Whether it is for this host (RFC 6125, section 6.4): an address literally, a name with `*` for the
    /// first label at most. The subject is no name.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = plain.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let below = host.split_once('.').map(|(_, parent)| parent);
        self.names
            .iter()
            .any(|name| *name == host || name.strip_prefix("*.").is_some_and(|n| below == Some(n)))
    }

    /// For whom it is, to be shown.
    pub(crate) fn shown(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let names: Vec<String> = self.names.iter().cloned().chain(addresses).collect();
        match names.first() {
            Some(_) => names.join(", "),
            None => self.subject.clone(),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::Certificate;
    use rcgen::{CertificateParams, KeyPair};

    fn made(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let both = Certificate::all(format!("{pem}\n{pem}").as_bytes()).unwrap();
        assert_eq!(both[0], both[1]);
        both.into_iter().next().unwrap()
    }

    #[test]
    fn names_and_times_are_read() {
        let certificate = made(&["gw.example", "*.mcp.example", "127.0.0.1", "::1"]);
        let times = (certificate.not_before_s, certificate.not_after_s);
        assert_eq!(times, (1_767_225_600, 1_772_323_200));
        assert_eq!(certificate.shown(), "gw.example, *.mcp.example, 127.0.0.1, ::1");
        for host in ["gw.example", "GW.Example.", "a.mcp.example", "127.0.0.1", "[::1]"] {
            assert!(certificate.is_for(host), "{host}");
        }
        for host in ["example", "a.b.mcp.example", "mcp.example", "a.gw.example", "127.0.0.2", "*"]
        {
            assert!(!certificate.is_for(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        for (text, reason) in [
            ("", "there is no certificate"),
            ("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", "not PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
        ] {
            let error = format!("{:#}", Certificate::all(text.as_bytes()).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
