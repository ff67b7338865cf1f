//! The local caller of a stdio session, as the operating system shows it: observed, not proven. It reads
//! no environment variable, since the caller writes those.

use event::{Actor, ActorKind, Evidence, EvidenceKind, Hop, HopRole, Level};
use std::sync::Arc;

/// What the operating system says of this process's user and parent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalProcess {
    /// Numeric user id that this process runs as; `None` where there is no such thing.
    pub uid: Option<u32>,
    /// Name of that user in the local user database.
    pub user: Option<String>,
    /// Process id of the parent.
    pub parent_pid: Option<u32>,
    /// Path of the parent's executable; `None` when the system does not show it.
    pub parent_executable: Option<String>,
    /// Short name of the parent (at most 15 bytes on Linux); the parent itself can change it.
    pub parent_name: Option<String>,
}

/// Reads what the operating system shows: `/proc` and `/etc/passwd` on Linux, ids on other Unix
/// systems, nothing elsewhere. What is not available is `None`.
#[must_use]
pub fn observe() -> LocalProcess {
    system::observe()
}

/// The actor for a local caller: the user, then the parent process. What is unknown is named `unknown`.
#[must_use]
pub fn actor(process: &LocalProcess) -> Actor {
    let user = match (&process.user, process.uid) {
        (Some(name), _) => name.clone(),
        (None, Some(uid)) => format!("uid:{uid}"),
        (None, None) => UNKNOWN.to_owned(),
    };
    let named = process.parent_executable.as_ref().or(process.parent_name.as_ref());
    let parent = match (named, process.parent_pid) {
        (Some(name), _) => name.clone(),
        (None, Some(pid)) => format!("pid:{pid}"),
        (None, None) => UNKNOWN.to_owned(),
    };
    let hop = |id: &str, role| Hop {
        evidence: Evidence::new(EvidenceKind::OperatingSystem),
        id: event::bounded(id, ID_BYTES_MAX),
        level: Level::Observed,
        role,
    };
    let chain = Arc::new([hop(&user, HopRole::Human), hop(&parent, HopRole::Process)]);
    Actor {
        chain,
        development: false,
        id: event::bounded(&user, ID_BYTES_MAX),
        kind: ActorKind::Local,
        level: Level::Observed,
        provider: PROVIDER.to_owned(),
        ..Actor::anonymous()
    }
}

/// The provider that vouches for local callers.
const PROVIDER: &str = "local";

const UNKNOWN: &str = "unknown";

/// Most bytes of a user name or path in the actor.
const ID_BYTES_MAX: usize = 1_024;

#[cfg(unix)]
mod system {
    //! Unix: ids from the kernel, the user's name from the local user database, the parent from `/proc`.

    use super::LocalProcess;
    use std::io::Read;
    use std::path::Path;

    pub(super) fn observe() -> LocalProcess {
        let uid = rustix::process::getuid().as_raw();
        let parent = rustix::process::getppid()
            .and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
        let of_parent = |name: &str| parent.map(|pid| format!("/proc/{pid}/{name}"));
        let passwd = read_start(Path::new("/etc/passwd")).unwrap_or_default();
        LocalProcess {
            uid: Some(uid),
            user: user_name(&passwd, uid),
            parent_pid: parent,
            parent_executable: of_parent("exe")
                .and_then(|link| std::fs::read_link(link).ok())
                .map(|path| path.to_string_lossy().into_owned()),
            parent_name: of_parent("comm")
                .and_then(|path| read_start(Path::new(&path)))
                .map(|name| name.trim_end().to_owned())
                .filter(|name| !name.is_empty()),
        }
    }

    /// The name of a user in the text of `/etc/passwd` (passwd(5): name, password, uid, ...).
    pub(super) fn user_name(passwd: &str, uid: u32) -> Option<String> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let found = fields.nth(1)?.parse::<u32>().ok()?;
            (found == uid && !name.is_empty()).then(|| name.to_owned())
        })
    }

    fn read_start(path: &Path) -> Option<String> {
        let mut text = Vec::new();
        std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Most bytes read of a file: a user database of ten thousand accounts.
    const FILE_BYTES_MAX: u64 = 1024 * 1024;
}

#[cfg(not(unix))]
mod system {
    //! Systems of which we know nothing.

    use super::LocalProcess;

    pub(super) fn observe() -> LocalProcess {
        LocalProcess::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{LocalProcess, actor};
    use event::{ActorKind, EvidenceKind, HopRole, Level};

    #[test]
    fn what_is_seen_becomes_two_observed_hops() {
        let seen = LocalProcess {
            uid: Some(1000),
            user: Some("alice".to_owned()),
            parent_pid: Some(42),
            parent_executable: Some("/usr/bin/node".to_owned()),
            parent_name: Some("node".to_owned()),
        };
        let alice = actor(&seen);
        assert_eq!((alice.id.as_str(), alice.provider.as_str()), ("alice", "local"));
        assert_eq!((alice.kind, alice.level), (ActorKind::Local, Level::Observed));
        let hops: Vec<_> = alice.chain.iter().map(|hop| (hop.id.as_str(), hop.role)).collect();
        assert_eq!(hops, [("alice", HopRole::Human), ("/usr/bin/node", HopRole::Process)]);
        for hop in &*alice.chain {
            assert_eq!(hop.level, Level::Observed);
            assert_eq!(hop.evidence.kind, EvidenceKind::OperatingSystem);
        }
    }

    #[test]
    fn what_is_not_seen_is_replaced_by_the_next_best() {
        let ids = |seen: &LocalProcess| {
            let actor = actor(seen);
            (actor.id, actor.chain[1].id.clone())
        };
        let mut seen =
            LocalProcess { uid: Some(7), parent_pid: Some(9), ..LocalProcess::default() };
        assert_eq!(ids(&seen), ("uid:7".to_owned(), "pid:9".to_owned()));
        seen.parent_name = Some("sh".to_owned());
        assert_eq!(ids(&seen).1, "sh");
        assert_eq!(ids(&LocalProcess::default()), ("unknown".to_owned(), "unknown".to_owned()));
        seen.parent_executable = Some("/x".repeat(4_000));
        assert!(ids(&seen).1.len() <= 1_024);
    }

    #[cfg(unix)]
    #[test]
    fn the_user_database_is_read_by_number() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nbroken\n:x:5:5::\nbob:x:1001:1001::/home/bob:/bin/sh\n";
        let name = |uid| super::system::user_name(passwd, uid);
        assert_eq!(name(0).as_deref(), Some("root"));
        assert_eq!(name(1001).as_deref(), Some("bob"));
        assert_eq!((name(5), name(1)), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_shows_user_and_parent() {
        let seen = super::observe();
        assert_eq!(seen.uid, Some(rustix::process::getuid().as_raw()));
        assert!(seen.parent_pid.is_some());
        assert!(seen.parent_name.is_some(), "{seen:?}");
    }
}
