//! Which logs and which witnesses are trusted (C2SP tlog-policy): a file that
//! says when a checkpoint counts.
//!
//! Knows nothing of the network: addresses are handed out as they stand.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::cosigned;
use crate::key::{Algorithm, Verifier};
use crate::text::Note;
use std::collections::BTreeSet;

/// A parsed policy.
#[derive(Debug, Clone)]
pub struct Policy {
    logs: Vec<(Verifier, Option<String>)>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy, which means nothing elsewhere.
    pub name: String,
    /// The key it cosigns with.
    pub key: Verifier,
    /// Where it takes checkpoints: the submission prefix of tlog-witness.
    pub url: Option<String>,
}

/// What a policy says of a checkpoint that a listed log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The witnesses that cosigned it.
    pub seen: Vec<Seen>,
    /// Whether they are enough.
    pub quorum: bool,
}

/// One witness that cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name in the policy.
    pub witness: String,
    /// When, in seconds since 1970-01-01 UTC, by its own clock.
    pub time_s: u64,
}

/// Why a policy cannot be used, or a checkpoint does not satisfy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A line of the policy is wrong.
    #[error("line {line} of the policy: {what}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The policy says nothing of the quorum.
    #[error("the policy has no `quorum` line: add one, such as `quorum none`")]
    NoQuorum,
    /// The checkpoint is not of a log of the policy.
    #[error("the checkpoint is not signed by a log of the policy")]
    NoLog,
    /// The checkpoint is not one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A listed witness's line does not verify.
    #[error("the cosignature of the witness `{0}` does not verify")]
    Cosignature(String),
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    needed: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
enum Member {
    Witness(usize),
    Group(usize),
}

impl Policy {
    /// Reads a policy file. Names, addresses and comments are taken as UTF-8.
    ///
    /// # Errors
    /// [`PolicyError::Line`] for the first line that breaks the rules of
    /// tlog-policy; [`PolicyError::NoQuorum`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let mut reading = Reading::default();
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let wrong = |what: &str| PolicyError::Line { line, what: what.to_owned() };
            if bytes.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
                return Err(wrong("there is a control character"));
            }
            let text = str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
            let items: Vec<&str> =
                text.split([' ', '\t']).filter(|item| !item.is_empty()).collect();
            if items.first().is_none_or(|first| first.starts_with('#')) {
                continue;
            }
            reading.line(&items).map_err(|what| PolicyError::Line { line, what })?;
        }
        let quorum = reading.quorum.ok_or(PolicyError::NoQuorum)?;
        let Reading { logs, witnesses, groups, .. } = reading;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// A policy of one log, or of several keys of it, without witnesses.
    #[must_use]
    pub fn of_logs(keys: &[Verifier]) -> Self {
        let logs = keys.iter().map(|key| (key.clone(), None)).collect();
        Self { logs, witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    /// The keys of the logs, with their addresses.
    #[must_use]
    pub fn logs(&self) -> &[(Verifier, Option<String>)] {
        &self.logs
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether any witness is needed at all.
    #[must_use]
    pub fn needs_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether these witnesses, by the names of the policy, are enough.
    #[must_use]
    pub fn satisfied_by(&self, names: &BTreeSet<&str>) -> bool {
        self.quorum.is_none_or(|quorum| self.holds(quorum, names))
    }

    /// Checks a checkpoint: that a listed log signed it, and who cosigned it.
    /// The quorum is reported, not demanded.
    ///
    /// # Errors
    /// [`PolicyError`] when it is not a checkpoint of a listed log, or when a
    /// line by a listed log or witness does not verify.
    pub fn judge(&self, note: &[u8]) -> Result<Judgement, PolicyError> {
        let parsed = Note::parse(note).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        let mut signed = false;
        for (key, _) in self.logs.iter().filter(|(key, _)| key.name() == checkpoint.origin) {
            if parsed.by(key).is_some() {
                parsed.verify(key).map_err(CheckpointError::from)?;
                signed = true;
            }
        }
        if !signed {
            return Err(PolicyError::NoLog);
        }
        let mut seen = Vec::new();
        for witness in &self.witnesses {
            let time = cosigned(&parsed, &witness.key)
                .map_err(|_| PolicyError::Cosignature(witness.name.clone()))?;
            seen.extend(time.map(|time_s| Seen { witness: witness.name.clone(), time_s }));
        }
        let names = seen.iter().map(|seen| seen.witness.as_str()).collect();
        let quorum = self.satisfied_by(&names);
        Ok(Judgement { checkpoint, seen, quorum })
    }

    fn holds(&self, member: Member, names: &BTreeSet<&str>) -> bool {
        match member {
            Member::Witness(at) => {
                self.witnesses.get(at).is_some_and(|one| names.contains(one.name.as_str()))
            }
            // Groups name only earlier ones, so this ends.
            Member::Group(at) => self.groups.get(at).is_some_and(|group| {
                let held = group.members.iter().filter(|member| self.holds(**member, names));
                group.needed <= held.count()
            }),
        }
    }
}

/// A policy while its lines are read.
#[derive(Debug, Default)]
struct Reading {
    logs: Vec<(Verifier, Option<String>)>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// Names that are a member of a group already.
    used: BTreeSet<String>,
    quorum: Option<Option<Member>>,
}

impl Reading {
    fn line(&mut self, items: &[&str]) -> Result<(), String> {
        match items {
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some((*url).to_owned())),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some((*url).to_owned())),
            ["group", name, needed, members @ ..] => self.group(name, needed, members),
            ["quorum", name] => self.quorum(name),
            [word @ ("log" | "witness" | "group" | "quorum"), ..] => {
                Err(format!("`{word}` has the wrong number of items"))
            }
            [word, ..] => Err(format!("`{word}` is none of log, witness, group, quorum")),
            [] => Ok(()),
        }
    }

    fn log(&mut self, key: &str, url: Option<String>) -> Result<(), String> {
        let key = Verifier::from_text(key).map_err(|error| error.to_string())?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err("the key of a log is of the signature type 0x01".to_owned());
        }
        if self.logs.iter().any(|(other, _)| other.public_key() == key.public_key()) {
            return Err(format!("the key of `{}` is listed twice", key.name()));
        }
        self.logs.push((key, url));
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<String>) -> Result<(), String> {
        self.check_new(name)?;
        let key = Verifier::from_text(key).map_err(|error| error.to_string())?;
        if key.algorithm() == Algorithm::Ed25519 {
            return Err("the key of a witness is of the signature type 0x04 or 0x06".to_owned());
        }
        if self.witnesses.iter().any(|other| other.key.public_key() == key.public_key()) {
            return Err(format!("the key of `{name}` is listed twice"));
        }
        self.witnesses.push(Witness { name: name.to_owned(), key, url });
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, members: &[&str]) -> Result<(), String> {
        self.check_new(name)?;
        let mut found = Vec::new();
        for member in members {
            found.push(self.member(member)?);
            if !self.used.insert((*member).to_owned()) {
                return Err(format!("`{member}` is a member of a group already"));
            }
        }
        let count = found.len();
        let needed = match needed {
            "all" => count,
            "any" => 1,
            number => number.parse().map_err(|_| format!("`{number}` is no number"))?,
        };
        if needed == 0 || count < needed {
            return Err(format!("of {count} members, 1 to {count} can be needed"));
        }
        self.groups.push(Group { name: name.to_owned(), needed, members: found });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("there is a second `quorum` line".to_owned());
        }
        self.quorum = Some(if name == NONE { None } else { Some(self.member(name)?) });
        Ok(())
    }

    fn member(&self, name: &str) -> Result<Member, String> {
        let witness = self.witnesses.iter().position(|one| one.name == name);
        let group = || self.groups.iter().position(|one| one.name == name);
        let member = witness.map(Member::Witness).or_else(|| group().map(Member::Group));
        member.ok_or_else(|| format!("`{name}` is not defined above"))
    }

    fn check_new(&self, name: &str) -> Result<(), String> {
        if name == NONE || self.member(name).is_ok() {
            return Err(format!("the name `{name}` is taken"));
        }
        Ok(())
    }
}

const NONE: &str = "none";

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests {
    use super::{Policy, PolicyError};
    use crate::checkpoint::Checkpoint;
    use crate::cosignature::cosign;
    use crate::hash::leaf_hash;
    use crate::key::Algorithm;
    use crate::signer::Signer;
    use std::fmt::Write as _;

    fn witness(name: &str) -> Signer {
        Signer::generate_for(name, Algorithm::Ed25519Cosignature).unwrap().0
    }

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse(text.as_bytes())
    }

    #[test]
    fn the_example_of_the_specification_counts_as_it_says() {
        let names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"];
        let mut text = String::from("# comment\n\n");
        for name in names {
            let key = witness(&format!("{name}.example")).verifier().to_text();
            writeln!(text, "witness {name} {key}\t https://{name}.example/").unwrap();
        }
        text.push_str("group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n");
        text.push_str("group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n");
        let policy = parse(&text).unwrap();
        let holds = |names: &[&str]| policy.satisfied_by(&names.iter().copied().collect());
        assert!(holds(&["X1", "X3", "Y2"]));
        assert!(holds(&names));
        assert!(!holds(&["X1", "Y1", "Y2", "Y3"]));
        assert!(!holds(&["X1", "X2", "X3"]));
        assert!(!holds(&[]));
        assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://X1.example/"));
    }

    #[test]
    fn judges_checkpoints() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let (one, two) = (witness("one.example"), witness("two.example"));
        let policy = parse(&format!(
            "log {}\nwitness one {}\nwitness two {}\ngroup both all one two\nquorum both\n",
            log.verifier().to_text(),
            one.verifier().to_text(),
            two.verifier().to_text(),
        ))
        .unwrap();
        let origin = "example.com/log".to_owned();
        let checkpoint = Checkpoint { origin, size: 3, root: leaf_hash(b"x") };
        let note = checkpoint.sign(&log).unwrap();
        let text = checkpoint.to_text();
        assert!(!policy.judge(note.as_bytes()).unwrap().quorum);
        let once = format!("{note}{}", cosign(&text, &one, 5).unwrap());
        let judged = policy.judge(once.as_bytes()).unwrap();
        assert_eq!((judged.quorum, judged.seen.len(), judged.seen[0].time_s), (false, 1, 5));
        let twice = format!("{once}{}", cosign(&text, &two, 6).unwrap());
        assert!(policy.judge(twice.as_bytes()).unwrap().quorum);
        let forged = cosign(&text.replacen("\n3\n", "\n4\n", 1), &two, 6).unwrap();
        let refused = policy.judge(format!("{once}{forged}").as_bytes());
        assert_eq!(refused, Err(PolicyError::Cosignature("two".to_owned())));
        let (other, _) = Signer::generate("example.com/log").unwrap();
        let foreign = checkpoint.sign(&other).unwrap();
        assert_eq!(policy.judge(foreign.as_bytes()), Err(PolicyError::NoLog));
    }

    #[test]
    fn says_which_line_is_wrong() {
        let key = witness("w.example").verifier().to_text();
        let log = Signer::generate("example.com/log").unwrap().0.verifier().to_text();
        for (text, wanted) in [
            ("quorum none\nquorum none\n".to_owned(), "line 2 of the policy: there is a second"),
            ("quorum w\n".to_owned(), "`w` is not defined above"),
            (format!("witness none {key}\n"), "the name `none` is taken"),
            (format!("witness a {key}\nwitness a {key}\n"), "the name `a` is taken"),
            (format!("witness a {key}\nwitness b {key}\n"), "the key of `b` is listed twice"),
            (format!("witness a {log}\n"), "0x04 or 0x06"),
            (format!("log {key}\n"), "0x01"),
            (format!("log {log}\nlog {log}\n"), "listed twice"),
            (format!("witness a {key}\ngroup g 2 a\n"), "1 to 1 can be needed"),
            (format!("witness a {key}\ngroup g 0 a\n"), "1 to 1 can be needed"),
            (format!("witness a {key}\ngroup g any\n"), "1 to 0 can be needed"),
            (format!("witness a {key}\ngroup g any a a\n"), "a member of a group already"),
            ("frobnicate\n".to_owned(), "`frobnicate` is none of"),
            ("quorum\n".to_owned(), "wrong number of items"),
            ("quorum none\r\n".to_owned(), "control character"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(parse("").unwrap_err(), PolicyError::NoQuorum);
    }
}
