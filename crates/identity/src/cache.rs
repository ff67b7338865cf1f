//! Tokens that were verified a moment ago, by the SHA-256 of their text. It decides nothing about a
//! token: it remembers until when, and with which generation of keys, a decision holds.

use event::{Actor, Time};
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use crate::claims::LEEWAY_S;
use crate::digest::Sha256;
use crate::possession::Binding;

/// What verification found, and how long it holds.
pub(crate) struct Verified {
    pub(crate) actor: Actor,
    /// What it is bound to, which its sender has to show each time.
    pub(crate) binding: Binding,
    /// The audience that it was verified for.
    pub(crate) audience: Box<str>,
    /// Index of the provider.
    pub(crate) provider: usize,
    /// Generation of the key set that the key is from.
    pub(crate) generation: u64,
    /// When it was verified.
    pub(crate) at: Time,
    /// Expiry of the token.
    pub(crate) exp: Time,
}

/// A bounded memory of verified tokens.
///
/// Two maps of half the size: new and used entries go to the young one, and when that is full it
/// replaces the old one. What was not used for a whole round is gone; no entry is ever searched for.
pub(crate) struct TokenCache {
    half_max: usize,
    ttl_us: i64,
    /// Held for one look-up or insertion, never across an await.
    maps: Mutex<Maps>,
}

#[derive(Default)]
struct Maps {
    young: HashMap<Sha256, Arc<Verified>>,
    old: HashMap<Sha256, Arc<Verified>>,
}

impl TokenCache {
    /// `entries_max` below 2 remembers nothing.
    pub(crate) fn new(entries_max: usize, ttl_s: u64) -> Self {
        let ttl_us = i64::try_from(ttl_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        Self { half_max: entries_max / 2, ttl_us, maps: Mutex::default() }
    }

    /// What was found for this token, while it has neither expired nor been remembered for too long.
    /// The caller checks the generation.
    pub(crate) fn get(&self, token: &Sha256, now: Time) -> Option<Arc<Verified>> {
        let found = {
            let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
            match maps.young.get(token) {
                Some(found) => Arc::clone(found),
                None => {
                    let found = maps.old.remove(token)?;
                    self.put(&mut maps, *token, Arc::clone(&found));
                    found
                }
            }
        };
        let since_us = now.unix_us().saturating_sub(found.at.unix_us());
        let held = (-LEEWAY_S * 1_000_000..self.ttl_us).contains(&since_us) && now < found.exp;
        held.then_some(found)
    }

    /// Remembers what was found for a token.
    pub(crate) fn insert(&self, token: Sha256, verified: Verified) {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut maps, token, Arc::new(verified));
    }

    fn put(&self, maps: &mut Maps, token: Sha256, verified: Arc<Verified>) {
        if self.half_max == 0 {
            return;
        }
        if maps.young.len() >= self.half_max {
            maps.old = mem::take(&mut maps.young);
        }
        maps.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenCache, Verified};
    use crate::digest::{Sha256, sha256};
    use crate::possession::Binding;
    use event::{Actor, Time};

    fn at(seconds: i64) -> Time {
        Time::from_unix_us(seconds * 1_000_000)
    }

    fn remember(cache: &TokenCache, token: Sha256, exp_s: i64) {
        let actor = Actor::anonymous();
        let verified = Verified {
            actor,
            binding: Binding::default(),
            audience: "gw".into(),
            provider: 0,
            generation: 1,
            at: at(1_000),
            exp: at(exp_s),
        };
        cache.insert(token, verified);
    }

    #[test]
    fn holds_until_the_earlier_of_expiry_and_time_to_live() {
        let cache = TokenCache::new(10, 60);
        let (short, long) = (sha256(b"short"), sha256(b"long"));
        remember(&cache, short, 1_030);
        remember(&cache, long, 9_999);
        let holds = |token, now_s| cache.get(token, at(now_s)).is_some();
        assert!(holds(&short, 1_000) && holds(&short, 1_029) && !holds(&short, 1_030));
        assert!(holds(&long, 1_059) && !holds(&long, 1_060));
        // A clock that was set back.
        assert!(holds(&long, 995) && !holds(&long, 994));
        assert!(!holds(&sha256(b"other"), 1_000));
    }

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::new(10, 60);
        let used = sha256(b"used");
        remember(&cache, used, 9_999);
        for i in 0..1_000_u32 {
            remember(&cache, sha256(&i.to_be_bytes()), 9_999);
            assert!(cache.get(&used, at(1_000)).is_some());
            let maps = cache.maps.lock().unwrap();
            assert!(maps.young.len() + maps.old.len() <= 10);
        }
        assert!(cache.get(&sha256(&0_u32.to_be_bytes()), at(1_000)).is_none());
    }

    #[test]
    fn size_zero_remembers_nothing() {
        let cache = TokenCache::new(0, 60);
        remember(&cache, sha256(b"x"), 9_999);
        assert!(cache.get(&sha256(b"x"), at(1_000)).is_none());
    }
}
