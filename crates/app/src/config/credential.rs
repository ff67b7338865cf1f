//! The tables `[server.credential]`: what the gateway shows to servers. Opens no file; `broker` does.

use super::{Checker, Config, file};
use crate::environment;
use anyhow::Context as _;
use broker::{Broker, Secret, Target};
use std::collections::BTreeMap;

impl Checker<'_> {
    /// By the name of the server.
    pub(super) fn credentials(
        &mut self,
        servers: &[file::Server],
    ) -> BTreeMap<String, broker::Config> {
        let mut checked = BTreeMap::new();
        for (i, server) in servers.iter().enumerate() {
            let Some(written) = &server.credential else { continue };
            let table = match servers {
                [_] => "server.credential".to_owned(),
                _ => format!("server[{i}].credential"),
            };
            let is_program = server.command.is_some();
            let target = if is_program { Target::Program } else { Target::Http };
            for problem in written.check(target) {
                self.wrong(&format!("{table}.{}", problem.path), &problem.problem);
            }
            if !is_program && server.url.as_ref().is_some_and(|url| goes_in_the_clear(url)) {
                let problem =
                    "would go over the network in the clear: give the server an `https` URL";
                self.wrong(&table, problem);
            }
            let mut config = written.clone();
            for path in config.paths_mut() {
                *path = self.path(std::mem::take(path));
            }
            checked.insert(server.name.clone().unwrap_or_default(), config);
        }
        checked
    }
}

impl Config {
    /// The credentials for servers. Files are looked at, nobody is asked for anything.
    pub(crate) fn broker(&self) -> anyhow::Result<Broker> {
        let servers = self.credentials.iter().map(|(name, config)| (name.as_str(), config));
        let variable = |name: &str| environment::secret(name).map(Secret::new);
        Broker::new(servers, &variable).context("credentials for servers cannot be used")
    }
}

/// Whether what is sent there can be read on the way.
fn goes_in_the_clear(url: &str) -> bool {
    let Ok(url) = url.parse::<url::Url>() else { return false };
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}
