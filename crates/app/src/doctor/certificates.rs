//! Certificates and keys of TLS: whether they can be used, until when, and for which names.

use super::files::written_by_others;
use super::finding::Finding;
use crate::certificate::Certificate;
use crate::certificates::{Certificates, read_certificates};
use crate::config::{Config, PairFiles, ServerTlsFiles, TlsFiles};
use std::path::Path;

/// Everything that the tables `[gateway.tls]` and `[server.tls]` name.
pub(super) fn check(config: &Config, now_s: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(pair) = &config.tls.listener {
        let alone = TlsFiles { listener: Some(pair.clone()), ..TlsFiles::default() };
        match usable(&alone) {
            Some(problem) => findings.push(problem),
            None => {
                findings.extend(listener(pair, &config.listener.allowed_hosts, now_s));
                findings.extend(private(pair));
            }
        }
    }
    for (name, files) in &config.tls.servers {
        findings.extend(server(name, files, now_s));
    }
    findings
}

/// What hinders the gateway from using the files, as it does it itself: also a key that others can read,
/// or that is not the certificate's.
fn usable(files: &TlsFiles) -> Option<Finding> {
    let error = Certificates::load(files).err()?;
    Some(
        Finding::error("certificates", format!("{error:#}"))
            .because("the gateway does not start with it; a running one keeps what it has")
            .so("put the right file there: the chain with the own certificate first, and its own key, for its owner only (chmod 600)"),
    )
}

fn listener(pair: &PairFiles, hosts: &[String], now_s: i64) -> Vec<Finding> {
    let chain = match read(&pair.certificate) {
        Ok(chain) => chain,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![expiry(&pair.table, &chain, now_s, "clients refuse to connect")];
    findings.extend(chain.first().map(|own| names(own, hosts)));
    findings
}

fn server(name: &str, files: &ServerTlsFiles, now_s: i64) -> Vec<Finding> {
    let alone = [(name.to_owned(), files.clone())].into();
    if let Some(problem) = usable(&TlsFiles { servers: alone, ..TlsFiles::default() }) {
        return vec![problem];
    }
    let mut findings = Vec::new();
    if let Some(path) = &files.roots {
        findings.push(match read(path) {
            Ok(roots) => authorities(name, &roots, now_s),
            Err(finding) => finding,
        });
        findings.push(written_by_others("certificates", path));
    }
    if let Some(pair) = &files.pair {
        let what = format!("client certificate for {name}");
        findings.push(match read(&pair.certificate) {
            Ok(chain) => expiry(&what, &chain, now_s, "the server refuses every connection"),
            Err(finding) => finding,
        });
        findings.extend(private(pair));
    }
    findings
}

/// Who may exchange the certificate. That only its owner can read the key is seen when it is used.
fn private(pair: &PairFiles) -> [Finding; 2] {
    [&pair.certificate, &pair.key].map(|path| written_by_others("certificates", path))
}

fn read(path: &Path) -> Result<Vec<Certificate>, Finding> {
    let read = read_certificates(path).and_then(|pem| Certificate::all(&pem));
    read.map_err(|error| {
        Finding::warning("certificates", format!("`{}`: {error:#}", path.display()))
            .because("until when it counts cannot be told")
            .so("look at it with `openssl x509 -noout -dates -ext subjectAltName -in FILE`")
    })
}

/// When the first certificate of a chain ends, or whether one has not begun.
fn expiry(what: &str, chain: &[Certificate], now_s: i64, why: &'static str) -> Finding {
    let early = chain.iter().find(|certificate| now_s < certificate.not_before_s);
    if let Some(early) = early {
        let (shown, wait) = (early.shown(), days(early.not_before_s.saturating_sub(now_s)));
        return Finding::error("certificates", format!("{what}: {shown} counts only in {wait}"))
            .because(why)
            .so("set the clock of this machine by NTP, or have a certificate that counts now");
    }
    let Some(first) = chain.iter().min_by_key(|certificate| certificate.not_after_s) else {
        return Finding::ok("certificates", format!("{what}: none"));
    };
    let left = first.not_after_s.saturating_sub(now_s);
    let shown = first.shown();
    if left <= 0 {
        let since = days(-left);
        return Finding::error("certificates", format!("{what}: {shown} expired {since} ago"))
            .because(why)
            .so("renew it: a changed pair of files is taken up within ten seconds");
    }
    let finding = format!("{what}: {shown} expires in {}", days(left));
    if left < WARNING_S {
        return Finding::warning("certificates", finding)
            .because(why)
            .so("renew it before: a changed pair of files is taken up within ten seconds");
    }
    Finding::ok("certificates", finding)
}

/// Authorities are as good as the one that vouches for the server: one that expired is a warning, all of
/// them are an error.
fn authorities(server: &str, roots: &[Certificate], now_s: i64) -> Finding {
    let what = format!("roots of {server}");
    let why = "servers whose certificates it vouches for are not trusted";
    let soon = |root: &&Certificate| root.not_after_s < now_s.saturating_add(WARNING_S);
    let Some(root) = roots.iter().filter(soon).min_by_key(|root| root.not_after_s) else {
        return Finding::ok("certificates", format!("{what}: {} that count", roots.len()));
    };
    let all_ended = roots.iter().all(|root| root.not_after_s <= now_s);
    let found = expiry(&what, std::slice::from_ref(root), now_s, why);
    if all_ended { found } else { found.at_most_warning() }
}

/// Whether clients find the names by which they connect.
fn names(own: &Certificate, allowed: &[String]) -> Finding {
    let host = |written: &String| {
        let authority = written.parse::<http::uri::Authority>().ok()?;
        Some(authority.host().to_owned())
    };
    let mut missing: Vec<String> =
        allowed.iter().filter_map(host).filter(|host| !own.is_for(host)).collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Finding::ok("certificates", format!("gateway.tls: is for {}", own.shown()));
    }
    let what = format!("gateway.tls: is for {}, not for {}", own.shown(), missing.join(", "));
    Finding::warning("certificates", what)
        .because("clients that connect by a name that is not in the certificate refuse it")
        .so("have a certificate for it, or take it out of `[gateway] allowed_hosts` (by default the address)")
}

fn days(seconds: i64) -> String {
    match seconds / DAY_S {
        0 => format!("{} hours", seconds / 3_600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

const DAY_S: i64 = 24 * 60 * 60;
/// As long as somebody may be on holiday.
const WARNING_S: i64 = 14 * DAY_S;

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{authorities, check, expiry, names, private};
    use crate::certificate::Certificate;
    use crate::config::Config;
    use rcgen::{CertificateParams, KeyPair};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    /// From 2026-01-01 to 2026-03-01.
    const FROM_S: i64 = 1_767_225_600;
    const UNTIL_S: i64 = 1_772_323_200;
    const DAY_S: i64 = 86_400;

    fn pem(names: &[&str], key: &KeyPair) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 1);
        params.self_signed(key).unwrap().pem()
    }

    fn certificate(names: &[&str]) -> Certificate {
        let pem = pem(names, &KeyPair::generate().unwrap());
        Certificate::all(pem.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn what_expires_is_found_in_time() {
        let chain = [certificate(&["gw.example"])];
        for (now_s, level, words) in [
            (FROM_S - DAY_S, Level::Error, "counts only in 1 day"),
            (FROM_S, Level::Ok, "expires in 59 days"),
            (UNTIL_S - 14 * DAY_S, Level::Ok, "expires in 14 days"),
            (UNTIL_S - 14 * DAY_S + 1, Level::Warning, "expires in 13 days"),
            (UNTIL_S - 3_600, Level::Warning, "expires in 1 hours"),
            (UNTIL_S, Level::Error, "expired 0 hours ago"),
            (UNTIL_S + 3 * DAY_S, Level::Error, "gw.example expired 3 days ago"),
        ] {
            let found = expiry("gateway.tls", &chain, now_s, "why");
            assert_eq!(found.level, level, "{found}");
            assert!(found.what.contains(words), "{found}");
            assert_eq!(found.level == Level::Ok, found.fix.is_empty(), "{found}");
        }
    }

    #[test]
    fn one_authority_that_counts_is_enough() {
        let (old, mut new) = (certificate(&[]), certificate(&[]));
        new.not_after_s = UNTIL_S + 400 * DAY_S;
        let level = |roots: &[Certificate], now_s| authorities("crm", roots, now_s).level;
        assert_eq!(level(&[old.clone(), new.clone()], UNTIL_S + 1), Level::Warning);
        assert_eq!(level(std::slice::from_ref(&old), UNTIL_S + 1), Level::Error);
        assert_eq!(level(&[old], UNTIL_S - 1), Level::Warning);
        assert_eq!(level(&[new], UNTIL_S), Level::Ok);
    }

    #[test]
    fn names_by_which_clients_connect_are_compared() {
        let own = certificate(&["gw.example", "127.0.0.1"]);
        let level = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            names(&own, &hosts).level
        };
        assert_eq!(level(&["gw.example", "gw.example:8700", "127.0.0.1:8700"]), Level::Ok);
        assert_eq!(level(&["gw.example", "localhost:8700"]), Level::Warning);
        assert_eq!(level(&["[::1]:8700"]), Level::Warning);
    }

    #[test]
    fn every_file_of_a_configuration_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let key = KeyPair::generate().unwrap();
        write("cert.pem", &pem(&["127.0.0.1", "localhost"], &key), 0o644);
        write("key.pem", &key.serialize_pem(), 0o600);
        let text = "[gateway]\nname = \"gw\"\n[gateway.tls]\ncertificate = \"cert.pem\"\n\
            key = \"key.pem\"\n[server]\nname = \"crm\"\nurl = \"https://crm.example/mcp\"\n\
            [server.tls]\nroots = \"cert.pem\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\
            [log]\ndirectory = \"log\"\nkey = \"log.key\"\n[identity]\nallow_anonymous = true\n";
        let config = Config::parse(text, directory.path()).unwrap();
        let worst = |now_s| check(&config, now_s).into_iter().map(|found| found.level).max();
        assert_eq!(worst(FROM_S), Some(Level::Ok));
        assert_eq!(check(&config, UNTIL_S).iter().filter(|f| f.level == Level::Error).count(), 3);
        write("key.pem", &key.serialize_pem(), 0o640);
        assert_eq!(check(&config, FROM_S).iter().filter(|f| f.level == Level::Error).count(), 2);
        write("key.pem", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
        let found = check(&config, FROM_S);
        assert!(found[0].what.contains("do not go together"), "{}", found[0]);
        write("cert.pem", "", 0o666);
        assert_eq!(worst(FROM_S), Some(Level::Error));
        let pair = config.tls.listener.as_ref().unwrap();
        assert_eq!(private(pair).map(|found| found.level), [Level::Error, Level::Ok]);
        assert!(Path::new(&pair.key).exists());
    }
}
