//! Files beside the log: who may read and write them, and whether the policies can be used.

use super::finding::Finding;
use crate::config::Config;
use policy::Severity;
use std::path::Path;

/// Who may touch the files of the configuration.
pub(super) fn check(path: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = vec![written_by_others("files", path)];
    findings.push(written_by_others("files", &config.policy_directory));
    if let Some(s3) = &config.log.s3 {
        findings.push(read_by_others(&s3.credentials));
    }
    if let Some(high_water) = &config.log.high_water {
        findings.push(other_device(high_water, &config.log.directory));
    }
    findings
}

/// Whether the policies can be used.
pub(super) fn policies(config: &Config) -> Finding {
    let directory = &config.policy_directory;
    if !directory.is_dir() {
        return Finding::error("policies", format!("`{}` is no directory", directory.display()))
            .because("the gateway does not start without policies")
            .so("name the directory with `*.cedar` files in `[policy] directory`");
    }
    let report = policy::check(directory);
    let errors = report.problems.iter().filter(|p| p.severity == Severity::Error).count();
    let warnings = report.problems.len() - errors;
    let first = report.problems.first().map(ToString::to_string).unwrap_or_default();
    if errors > 0 {
        return Finding::error("policies", format!("{errors} errors, the first: {first}"))
            .because("the gateway does not start with them; a running one keeps the old ones")
            .so("`countersign policy check` shows all of them");
    }
    if warnings > 0 {
        return Finding::warning("policies", format!("{warnings} warnings, the first: {first}"))
            .because("a policy may not do what it seems to")
            .so("`countersign policy check` shows all of them");
    }
    if report.policies == 0 {
        return Finding::warning("policies", "there are none")
            .because("what no policy permits is forbidden: every call is refused")
            .so("write one; `countersign policy schema` shows what policies may speak of");
    }
    Finding::ok("policies", format!("{} policies can be used", report.policies))
}

/// Whether what credentials for servers are made with is there.
pub(super) fn credentials(config: &Config) -> Option<Finding> {
    if config.credentials.is_empty() {
        return None;
    }
    Some(match config.broker() {
        Ok(_) => {
            Finding::ok("credentials", format!("{} can be asked for", config.credentials.len()))
        }
        Err(error) => Finding::error("credentials", format!("{error:#}"))
            .because(
                "the gateway does not start with it; a running one keeps the old configuration",
            )
            .so("put the secret or key there, for its owner only (chmod 600)"),
    })
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).ok().map(|found| found.permissions().mode())
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> Option<u32> {
    None
}

pub(super) fn written_by_others(check: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    match mode(path) {
        Some(mode) if mode & 0o002 != 0 => {
            Finding::error(check, format!("everybody may write `{shown}`"))
                .because("whoever can write it decides what the gateway does")
                .so("chmod o-w")
        }
        Some(mode) if mode & 0o020 != 0 => {
            Finding::warning(check, format!("a group may write `{shown}`"))
                .because("whoever can write it decides what the gateway does")
                .so("chmod g-w, unless that group operates the gateway")
        }
        _ => Finding::ok(check, format!("only its owner may write `{shown}`")),
    }
}

fn read_by_others(path: &Path) -> Finding {
    let shown = path.display();
    match mode(path) {
        None => Finding::error("files", format!("`{shown}` cannot be looked at"))
            .because("without the credentials there are no copies of the log")
            .so("make it, for its owner only"),
        Some(mode) if mode & 0o077 != 0 => {
            Finding::error("files", format!("others may read `{shown}`"))
                .because("it holds credentials")
                .so("chmod 0600")
        }
        Some(_) => Finding::ok("files", format!("only its owner may read `{shown}`")),
    }
}

/// The high-water mark is worth something only where whoever brings back an old log does not bring it
/// back too.
fn other_device(high_water: &Path, log: &Path) -> Finding {
    let beside = high_water.parent().unwrap_or(Path::new("."));
    match (device(beside), device(log)) {
        (Some(one), Some(other)) if one == other => {
            Finding::warning("high-water", "it is on the same device as the log")
                .because("who restores an old copy of that device restores both")
                .so("put `[log] high_water` on another device or host")
        }
        (Some(_), _) => Finding::ok("high-water", "it is on another device than the log"),
        (None, _) => Finding::error("high-water", format!("`{}` is not there", beside.display()))
            .because("the gateway cannot remember how far the log had come")
            .so("make the directory, or mount it"),
    }
}

#[cfg(unix)]
fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| found.dev())
}

#[cfg(not(unix))]
fn device(path: &Path) -> Option<u64> {
    path.exists().then_some(0)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::finding::Level;
    use super::{other_device, read_by_others, written_by_others};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    #[test]
    fn files_that_others_may_touch_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        std::fs::write(&file, "x").unwrap();
        for (mode, write, read) in [
            (0o600, Level::Ok, Level::Ok),
            (0o640, Level::Ok, Level::Error),
            (0o664, Level::Warning, Level::Error),
            (0o666, Level::Error, Level::Error),
        ] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(written_by_others("files", &file).level, write, "{mode:o}");
            assert_eq!(read_by_others(&file).level, read, "{mode:o}");
        }
        assert_eq!(read_by_others(&directory.path().join("none")).level, Level::Error);
    }

    #[test]
    fn a_high_water_mark_beside_the_log_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let beside = directory.path().join("high-water");
        assert_eq!(other_device(&beside, directory.path()).level, Level::Warning);
        assert_eq!(other_device(Path::new("/proc/x"), directory.path()).level, Level::Ok);
        assert_eq!(other_device(Path::new("/nowhere/x"), directory.path()).level, Level::Error);
    }
}
