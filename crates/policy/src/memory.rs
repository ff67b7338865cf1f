//! What a policy set said a moment ago, by all that it can see of a request.
//!
//! A set of policies says the same of the same request every time, so that asking again is only work. The
//! memory belongs to one set and goes with it. It decides nothing, and what it does not hold is evaluated.

use crate::needs::Needs;
use crate::question::{Caller, Context, Request, class_word, kind_word, rank, transport_word};
use event::{Direction, Resource};
use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most requests that are remembered.
pub(crate) const REQUESTS_MAX: usize = 4_096;

/// Most bytes of a request that is remembered; longer ones, as with very long names, are evaluated.
pub(crate) const REQUEST_BYTES_MAX: usize = 1_024;

/// All that a policy set can see of a request, in a form of which no two requests share one. Held against
/// others as it is, not by a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen(Vec<u8>);

/// A bounded memory.
///
/// Two maps of half the size: new and used entries go to the young one, and when that is full it replaces the
/// old one. What was not asked for a whole round is gone; no entry is ever searched for.
#[derive(Debug)]
pub(crate) struct Memory<T> {
    /// Held for one look-up or insertion.
    maps: Mutex<Maps<T>>,
}

#[derive(Debug)]
struct Maps<T> {
    young: HashMap<Seen, Arc<T>>,
    old: HashMap<Seen, Arc<T>>,
}

impl Seen {
    /// `None` for a request that is not worth remembering: the policies look at the time, which does not come
    /// again, or it is too long.
    pub(crate) fn of(request: &Request<'_>, needs: Needs) -> Option<Self> {
        if needs.time {
            return None;
        }
        let mut seen = Self(Vec::with_capacity(256));
        // All fields by name: a new one does not compile until it is said here what it means.
        let Request { call: _, actor, resource, direction, context } = *request;
        let Resource { class, kind, method, names, server } = resource;
        seen.word(match direction {
            Direction::ToClient => "to-client",
            Direction::ToServer => "to-server",
        });
        seen.words([class_word(*class), kind.as_str(), method, server]);
        seen.number(names.len());
        for name in names {
            seen.word(name);
        }
        seen.caller(&Caller::of(actor, needs.platform));
        seen.context(context, needs);
        (seen.0.len() <= REQUEST_BYTES_MAX).then_some(seen)
    }

    fn caller(&mut self, caller: &Caller<'_>) {
        let Caller { id, provider, kind, .. } = caller;
        let Caller { chain_depth, chain_level, development, level, human, issuer, .. } = caller;
        let Caller { platform, .. } = caller;
        self.words([id, provider, kind_word(*kind)]);
        self.number(*chain_depth);
        self.number(rank(*chain_level));
        self.number(rank(*level));
        self.number(*development);
        self.maybe(*human);
        self.maybe(*issuer);
        self.maybe(platform.as_ref().map(|known| known.platform));
        let values = platform.iter().flat_map(|known| &known.values);
        self.number(values.clone().count());
        values.for_each(|(attribute, value)| self.words([attribute.name, value]));
    }

    fn context(&mut self, context: Context<'_>, needs: Needs) {
        let Context {
            definition,
            gateway,
            handle,
            peer,
            protocol,
            region,
            request_bytes,
            session,
            time: _,
            transport,
        } = context;
        self.words([definition, gateway, transport_word(transport)]);
        self.maybe(handle);
        self.maybe(protocol);
        self.maybe(region);
        self.number(session);
        if needs.bytes {
            self.0.extend_from_slice(&request_bytes.to_le_bytes());
        }
        if needs.peer {
            match peer {
                None => self.0.push(0),
                Some(IpAddr::V4(address)) => {
                    self.0.push(4);
                    self.0.extend_from_slice(&address.octets());
                }
                Some(IpAddr::V6(address)) => {
                    self.0.push(6);
                    self.0.extend_from_slice(&address.octets());
                }
            }
        }
    }

    fn words<const N: usize>(&mut self, words: [&str; N]) {
        words.into_iter().for_each(|word| self.word(word));
    }

    fn maybe(&mut self, word: Option<&str>) {
        self.number(word.is_some());
        self.word(word.unwrap_or_default());
    }

    /// Its length stands before it, so that nothing in it can look like what comes after.
    fn word(&mut self, word: &str) {
        self.number(word.len());
        self.0.extend_from_slice(word.as_bytes());
    }

    /// Lengths, counts, levels and truth values: none is too large or negative.
    fn number(&mut self, number: impl TryInto<u32>) {
        self.0.extend_from_slice(&number.try_into().unwrap_or(u32::MAX).to_le_bytes());
    }
}

impl<T> Memory<T> {
    /// What was said of this request.
    pub(crate) fn recall(&self, seen: &Seen) -> Option<Arc<T>> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = maps.young.get(seen) {
            return Some(Arc::clone(found));
        }
        let (seen, found) = maps.old.remove_entry(seen)?;
        maps.put(seen, Arc::clone(&found));
        Some(found)
    }

    /// Remembers what was said.
    pub(crate) fn keep(&self, seen: Seen, said: Arc<T>) {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner).put(seen, said);
    }
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { maps: Mutex::new(Maps { young: HashMap::new(), old: HashMap::new() }) }
    }
}

impl<T> Maps<T> {
    fn put(&mut self, seen: Seen, said: Arc<T>) {
        if REQUESTS_MAX / 2 <= self.young.len() {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(seen, said);
    }
}

#[cfg(test)]
mod tests {
    use super::{Maps, Memory, REQUEST_BYTES_MAX, REQUESTS_MAX, Seen};
    use crate::Context;
    use crate::fixture::{agent_for_a_person, bare, full, request, resource};
    use crate::needs::Needs;
    use crate::platform::Wanted;
    use event::{Actor, Direction, HopRole, Level, MethodClass, Resource, ResourceKind, Transport};
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    const NEEDS: Needs = Needs { bytes: true, peer: true, platform: Wanted::ALL, time: false };

    fn tool(name: &str) -> Resource {
        resource("tools/call", ResourceKind::Tool, &[name])
    }

    fn to_server(actor: &Actor, resource: &Resource, context: Context<'_>) -> Seen {
        Seen::of(&request(actor, resource, Direction::ToServer, context), NEEDS).unwrap()
    }

    #[test]
    fn whatever_policies_can_see_makes_a_request_another() {
        let (agent, one) = (agent_for_a_person(), tool("t"));
        let towards_client = request(&agent, &one, Direction::ToClient, full());
        let mut seen =
            vec![to_server(&agent, &one, full()), Seen::of(&towards_client, NEEDS).unwrap()];
        let mut several = tool("t");
        several.names.push("u".to_owned());
        for changed in [
            tool("u"),
            several,
            Resource { class: MethodClass::Read, ..tool("t") },
            Resource { kind: ResourceKind::Prompt, ..tool("t") },
            Resource { method: "prompts/get".to_owned(), ..tool("t") },
            Resource { server: "other".to_owned(), ..tool("t") },
        ] {
            seen.push(to_server(&agent, &changed, full()));
        }
        let mut no_person = agent.clone();
        no_person.chain =
            agent.chain.iter().filter(|hop| hop.role != HopRole::Human).cloned().collect();
        let mut other_issuer = agent.clone();
        let last = Arc::make_mut(&mut other_issuer.chain).last_mut().unwrap();
        last.evidence.iss = Some("https://elsewhere.example".to_owned());
        let of_platform = |pairs: &[(&str, &str)]| {
            let required =
                ["event_name", "repository", "repository_owner_id", "run_attempt", "run_id"];
            let required = required.map(|name| (format!("github.{name}"), "1".to_owned()));
            let pairs =
                pairs.iter().map(|(name, value)| (format!("github.{name}"), (*value).to_owned()));
            let attributes: BTreeMap<_, _> = required.into_iter().chain(pairs).collect();
            Actor { attributes: attributes.into(), ..agent.clone() }
        };
        let mut weaker = agent.clone();
        Arc::make_mut(&mut weaker.chain)[0].level = Level::None;
        for changed in [
            Actor { id: "other".to_owned(), ..agent.clone() },
            Actor { provider: "other".to_owned(), ..agent.clone() },
            Actor { kind: event::ActorKind::Human, ..agent.clone() },
            Actor { level: Level::VerifiedPop, ..agent.clone() },
            Actor { development: !agent.development, ..agent.clone() },
            no_person,
            other_issuer,
            weaker,
            of_platform(&[("repository_id", "74")]),
            of_platform(&[("repository_id", "75")]),
            of_platform(&[("repository_id", "74"), ("ref", "a")]),
            of_platform(&[("repository_id", "74"), ("ref", "ab")]),
            of_platform(&[("repository_id", "74"), ("sha", "a")]),
        ] {
            seen.push(to_server(&changed, &one, full()));
        }
        for changed in [
            bare(),
            Context { gateway: "other", ..full() },
            Context { definition: "changed", ..full() },
            Context { peer: None, ..full() },
            Context { peer: Some([1, 2, 3, 4].into()), ..full() },
            Context { protocol: None, ..full() },
            Context { protocol: Some(""), ..full() },
            Context { region: None, ..full() },
            Context { request_bytes: 1, ..full() },
            Context { session: !full().session, ..full() },
            Context { transport: Transport::Stdio, ..full() },
        ] {
            seen.push(to_server(&agent, &one, changed));
        }
        let count = seen.len();
        assert_eq!(seen.into_iter().collect::<HashSet<_>>().len(), count);
    }

    #[test]
    fn what_no_policy_looks_at_makes_no_difference() {
        let (agent, tool) = (agent_for_a_person(), tool("t"));
        let needs = Needs { bytes: false, peer: false, platform: Wanted::NONE, time: false };
        let of = |context: Context<'_>| {
            Seen::of(&request(&agent, &tool, Direction::ToServer, context), needs).unwrap()
        };
        let time = event::Time::from_unix_us(1);
        let changed = Context { peer: None, request_bytes: 1, time, ..full() };
        assert_eq!(of(full()), of(changed));
    }

    #[test]
    fn time_and_long_names_are_not_remembered() {
        let agent = agent_for_a_person();
        let of = |tool: &Resource, needs| {
            Seen::of(&request(&agent, tool, Direction::ToServer, full()), needs)
        };
        assert!(of(&tool("t"), NEEDS).is_some());
        assert_eq!(of(&tool("t"), Needs { time: true, ..NEEDS }), None);
        assert_eq!(of(&tool(&"t".repeat(REQUEST_BYTES_MAX)), NEEDS), None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let memory = Memory::default();
        let seen = |n: usize| Seen(n.to_le_bytes().to_vec());
        for n in 0..REQUESTS_MAX * 3 {
            memory.keep(seen(n), Arc::new(n));
            // The first one is asked for all the time.
            assert_eq!(memory.recall(&seen(0)).as_deref(), Some(&0));
        }
        let maps = memory.maps.lock().unwrap();
        let Maps { young, old } = &*maps;
        assert!(young.len() + old.len() <= REQUESTS_MAX);
        drop(maps);
        assert_eq!(memory.recall(&seen(1)), None);
        assert_eq!(memory.recall(&seen(REQUESTS_MAX * 3 - 1)).as_deref(), Some(&12_287));
    }
}
