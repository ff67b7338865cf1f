//! A key set behind a URL, fetched so that nobody is led astray: TLS, no redirects, no proxies, bounded
//! body and time, and no address inside our own network unless allowed. It does not look inside the key
//! set.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode, redirect};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

use crate::config::ProviderConfig;
use crate::source::{JWKS_BYTES_MAX, KeyError, KeySource, Loading};

/// Which addresses a key set may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// `http`, and loopback addresses, for loopback hosts.
    insecure_loopback: bool,
    /// Private addresses.
    private: bool,
}

impl Access {
    /// What a provider's configuration allows.
    pub(crate) fn of(provider: &ProviderConfig) -> Self {
        Self {
            insecure_loopback: provider.allow_insecure_loopback,
            private: provider.allow_private_addresses,
        }
    }

    /// Why a URL may not be fetched, as far as its text tells.
    pub(crate) fn refusal(self, url: &Url) -> Option<&'static str> {
        let Some(host) = url.host() else { return Some("must name a host") };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Some("must have no user, password or fragment");
        }
        match url.scheme() {
            "https" => {}
            "http" if !is_loopback_host(&host) => return Some("must be an `https` address"),
            "http" if !self.insecure_loopback => {
                return Some("must be an `https` address, or set `allow_insecure_loopback`");
            }
            "http" => {}
            _ => return Some("must be an `https` address"),
        }
        let literal = match host {
            Host::Domain(_) => return None,
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        (!self.permits(literal)).then_some(
            "is an address inside a network; see `allow_private_addresses` and \
             `allow_insecure_loopback`",
        )
    }

    fn permits(self, address: IpAddr) -> bool {
        match Zone::of(address) {
            Zone::Public => true,
            Zone::Private => self.private,
            Zone::Loopback => self.insecure_loopback,
            Zone::Never => false,
        }
    }
}

/// A key set behind a URL.
#[derive(Debug)]
pub(crate) struct UrlSource {
    client: Client,
    url: Url,
}

impl UrlSource {
    /// Checks the URL and prepares the client; nothing is fetched yet.
    pub(crate) fn new(url: &str, access: Access) -> Result<Self, KeyError> {
        let forbidden = |problem: &str| KeyError::ForbiddenAddress { problem: problem.to_owned() };
        let url = Url::parse(url).map_err(|error| forbidden(&error.to_string()))?;
        if let Some(problem) = access.refusal(&url) {
            return Err(forbidden(problem));
        }
        let client = Client::builder()
            .user_agent("countersign")
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .pool_max_idle_per_host(0)
            .dns_resolver(CheckedResolver { loopback_only: url.scheme() == "http", access })
            .build()
            .map_err(|error| unreachable(&error))?;
        Ok(Self { client, url })
    }

    async fn fetch(&self) -> Result<Vec<u8>, KeyError> {
        let request = self.client.get(self.url.clone()).header("accept", "application/json");
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(KeyError::Status { status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(KeyError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl KeySource for UrlSource {
    fn load(&self) -> Loading<'_> {
        Box::pin(self.fetch())
    }
}

/// Resolves host names and refuses the whole answer when one of its addresses is not permitted. The
/// connection uses these very addresses, so a second, different answer cannot slip in between.
#[derive(Debug, Clone, Copy)]
struct CheckedResolver {
    loopback_only: bool,
    access: Access,
}

impl CheckedResolver {
    fn check(self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, KeyError> {
        let permitted = |address: &SocketAddr| {
            self.access.permits(address.ip())
                && (!self.loopback_only || Zone::of(address.ip()) == Zone::Loopback)
        };
        if found.iter().all(permitted) {
            return Ok(found);
        }
        Err(KeyError::ForbiddenAddress {
            problem: "host resolves to an address inside a network; see `allow_private_addresses` \
                      and `allow_insecure_loopback`"
                .to_owned(),
        })
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let checked: Addrs = Box::new(resolver.check(found)?.into_iter());
            Ok(checked)
        })
    }
}

/// The part of the address space that an address belongs to (IANA special-purpose address blocks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Public,
    Private,
    Loopback,
    /// Link-local (cloud metadata services), multicast, reserved, documentation.
    Never,
}

impl Zone {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [192, 168, ..] => Self::Private,
            [172, b, ..] if (16..32).contains(&b) => Self::Private,
            [100, b, ..] if (64..128).contains(&b) => Self::Private,
            [198, 18 | 19, ..] | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Self::Never
            }
            [0, ..] | [169, 254, ..] | [192, 88, 99, _] => Self::Never,
            [a, ..] if a >= 224 => Self::Never,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        let [.., high, low] = segments;
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        let embedded = Ipv4Addr::new(w, x, y, z);
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // IPv4-mapped: the kernel connects to the IPv4 address inside.
            [0, 0, 0, 0, 0, 0xffff, ..] => Self::of_v4(embedded),
            // NAT64 (RFC 6052): a gateway does the same; loopback on its far side is not ours.
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => match Self::of_v4(embedded) {
                Self::Public => Self::Public,
                _ => Self::Never,
            },
            [0xfc00..=0xfdff, ..] => Self::Private,
            // Global unicast is 2000::/3, but for 6to4, Teredo and what 2001::/23 and 2001:db8::/32
            // keep for special purposes.
            [0x2002, ..] | [0x2001, 0xdb8, ..] => Self::Never,
            [0x2001, second, ..] if second < 0x200 => Self::Never,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Never,
        }
    }
}

pub(crate) fn is_loopback_host(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// The innermost cause says what happened; the outer texts repeat the URL.
fn unreachable(error: &reqwest::Error) -> KeyError {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        if let Some(refused) = inner.downcast_ref::<KeyError>() {
            return refused.clone();
        }
        cause = inner;
    }
    let what = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    KeyError::Unreachable { problem: crate::rejection::printable(&what) }
}

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time for the whole fetch. A caller with an unknown key id waits for it at most once.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::{Access, CheckedResolver, Zone};
    use crate::source::KeyError;
    use std::net::SocketAddr;

    #[test]
    fn addresses_fall_into_their_zones() {
        let table: [(Zone, &[&str]); 4] = [
            (
                Zone::Public,
                &[
                    "8.8.8.8",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1111",
                    "64:ff9b::808:808",
                    "::ffff:8.8.8.8",
                ],
            ),
            (
                Zone::Private,
                &[
                    "10.1.2.3",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "100.64.0.1",
                    "fd00::1",
                    "fc00::1",
                    "::ffff:10.0.0.1",
                ],
            ),
            (Zone::Loopback, &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]),
            (
                Zone::Never,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "::ffff:169.254.169.254",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "192.0.2.1",
                    "198.18.0.1",
                    "::",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "2001:db8::1",
                    "2002:7f00:1::",
                    "2001::1",
                    "64:ff9b::7f00:1",
                    "::7f00:1",
                    "100::1",
                    "4000::1",
                ],
            ),
        ];
        for (zone, addresses) in table {
            for address in addresses {
                assert_eq!(Zone::of(address.parse().unwrap()), zone, "{address}");
            }
        }
    }

    #[test]
    fn one_bad_address_spoils_the_whole_answer() {
        let check = |insecure_loopback, private, loopback_only, addresses: &[&str]| {
            let access = Access { insecure_loopback, private };
            let found: Vec<SocketAddr> =
                addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect();
            match (CheckedResolver { loopback_only, access }).check(found) {
                Ok(_) => true,
                Err(KeyError::ForbiddenAddress { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        };
        assert!(check(false, false, false, &["8.8.8.8", "1.1.1.1"]));
        assert!(!check(false, false, false, &["8.8.8.8", "127.0.0.1"]));
        assert!(!check(false, false, false, &["10.0.0.1"]));
        assert!(!check(true, false, false, &["10.0.0.1"]));
        assert!(check(false, true, false, &["10.0.0.1", "8.8.8.8"]));
        assert!(!check(true, true, false, &["169.254.169.254"]));
        assert!(check(true, false, true, &["127.0.0.1", "::1"]));
        assert!(!check(true, false, true, &["8.8.8.8"]));
    }
}
