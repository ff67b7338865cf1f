//! What differs between two configuration files, and what of it can be taken over while the gateway
//! runs. Knows keys by name and no values.

use std::collections::BTreeSet;
use toml::{Table, Value};

/// Keys, and tables with everything in them, that can change while the gateway runs.
const RELOADABLE: [&str; 18] = [
    "gateway.allowed_hosts",
    "gateway.allowed_origins",
    "identity",
    "limits.actor",
    "limits.body_timeout_ms",
    "limits.connect_timeout_ms",
    "limits.handle_age_s",
    "limits.handles_max",
    "limits.member_timeout_ms",
    "limits.reply_timeout_ms",
    "limits.request_bytes_max",
    "limits.server",
    "limits.session_idle_s",
    "limits.sessions_max",
    "limits.stream_idle_timeout_ms",
    "limits.unknown_handles",
    "log.http.reader",
    "server",
];

/// The differences between two files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Dotted keys whose values differ.
    keys: BTreeSet<String>,
}

impl Changes {
    pub(crate) fn between(before: &Table, after: &Table) -> Self {
        let mut keys = BTreeSet::new();
        differences("", before, after, &mut keys);
        Self { keys }
    }

    /// The keys that need a restart.
    pub(crate) fn need_restart(&self) -> Vec<&str> {
        let is_reloadable = |key: &str| RELOADABLE.iter().any(|known| is_within(key, known));
        self.keys.iter().map(String::as_str).filter(|key| !is_reloadable(key)).collect()
    }

    /// Whether anything in this table, or this key, differs.
    pub(crate) fn touch(&self, table: &str) -> bool {
        self.keys.iter().any(|key| is_within(key, table))
    }

    /// The tables in which something differs, for the record.
    pub(crate) fn tables(&self) -> String {
        let table = |key: &String| match key.rsplit_once('.') {
            Some((table, _)) => table.to_owned(),
            None => key.clone(),
        };
        let tables: BTreeSet<String> = self.keys.iter().map(table).collect();
        tables.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn differences(path: &str, before: &Table, after: &Table, found: &mut BTreeSet<String>) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let empty = Table::new();
        match (before.get(name), after.get(name)) {
            (Some(Value::Table(one)), Some(Value::Table(other))) => {
                differences(&path, one, other, found);
            }
            (Some(Value::Table(one)), None) => differences(&path, one, &empty, found),
            (None, Some(Value::Table(other))) => differences(&path, &empty, other, found),
            (one, other) if one == other => {}
            _ => {
                found.insert(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Changes;

    fn between(before: &str, after: &str) -> Changes {
        Changes::between(&before.parse().unwrap(), &after.parse().unwrap())
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        let changes = between(
            "[gateway]\nname = \"a\"\nlisten = \"x\"\n[limits.actor]\ncalls_max = 1\n",
            "[gateway]\nname = \"b\"\nlisten = \"x\"\n[[server]]\nname = \"s\"\n",
        );
        assert_eq!(changes.need_restart(), ["gateway.name"]);
        assert_eq!(changes.tables(), "gateway limits.actor server");
        assert!(changes.touch("limits") && changes.touch("server") && !changes.touch("log"));
    }

    #[test]
    fn one_server_may_become_several() {
        let changes = between("[server]\nname = \"a\"\n", "[[server]]\nname = \"a\"\n");
        assert!(changes.need_restart().is_empty());
        assert!(changes.touch("server"));
    }

    #[test]
    fn a_key_that_begins_like_a_reloadable_one_is_none() {
        let changes = between("", "serverless = 1\n[log.http]\nenabled = true\n");
        assert_eq!(changes.need_restart(), ["log.http.enabled", "serverless"]);
    }

    #[test]
    fn order_and_comments_are_no_difference() {
        let changes = between("# a\n[a]\nx = 1\ny = 2\n", "[a]\ny = 2\nx = 1 # b\n");
        assert_eq!(changes, Changes::default());
        assert_eq!(changes.tables(), "");
    }
}
