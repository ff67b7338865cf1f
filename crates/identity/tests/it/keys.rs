//! A provider's key set over time: rotation, storms of unknown key ids, sources that fail, and what all
//! this means for tokens that were verified a moment ago.

use crate::fixture::{
    AUDIENCE, NOW_S, Scene, after, block_on, config, good, issuer, jwks, now, present, provider,
    verifier,
};
use event::Time;
use identity::dev::TokenIssuer;
use identity::{Config, KeyError, ProviderConfig, Reason, Verifier};
use std::sync::Arc;

fn down() -> Result<String, KeyError> {
    Err(KeyError::Unreachable { problem: "connection refused".to_owned() })
}

fn reason<T>(result: Result<T, identity::Rejection>) -> Option<Reason> {
    result.err().map(|rejection| rejection.reason)
}

/// A token of this issuer that is good at this time.
fn fresh(issuer: &TokenIssuer, at: Time) -> String {
    issuer.token("agent-1", AUDIENCE, at, 600).unwrap()
}

/// Lets tasks in the background run to their end.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn keys_are_loaded_on_first_use_and_then_once_per_interval() {
    let scene = Scene::new();
    block_on(async {
        assert_eq!(scene.source.loads(), 0);
        for seconds in [0, 1, 299] {
            let token = fresh(&scene.issuer, after(seconds));
            present(&scene.verifier, &token, after(seconds)).await.unwrap();
        }
        assert_eq!(scene.source.loads(), 1);
        present(&scene.verifier, &fresh(&scene.issuer, after(300)), after(300)).await.unwrap();
        settle().await;
        assert_eq!(scene.source.loads(), 2);
    });
}

#[test]
fn a_new_key_is_found_and_the_old_one_serves_while_it_is_published() {
    let scene = Scene::new();
    let next = issuer("k2");
    block_on(async {
        let old_token = good(&scene.issuer);
        present(&scene.verifier, &old_token, now()).await.unwrap();
        scene.source.answers(Ok(jwks(&[scene.issuer.jwk(), next.jwk()])));
        present(&scene.verifier, &fresh(&next, after(40)), after(40)).await.unwrap();
        assert_eq!(scene.source.loads(), 2);
        present(&scene.verifier, &old_token, after(41)).await.unwrap();

        // Withdrawn: the old token was remembered, and is refused all the same.
        scene.source.answers(Ok(next.jwks()));
        let unknown = fresh(&issuer("k3"), after(80));
        assert_eq!(
            reason(present(&scene.verifier, &unknown, after(80)).await),
            Some(Reason::UnknownKey)
        );
        let refused = present(&scene.verifier, &old_token, after(81)).await;
        assert_eq!(reason(refused), Some(Reason::UnknownKey));
    });
}

#[test]
fn a_storm_of_unknown_key_ids_leads_to_one_load_per_interval() {
    let scene = Scene::new();
    let stranger = |i: usize| good(&issuer(&format!("unknown-{i}")));
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        for i in 0..50 {
            let refused = present(&scene.verifier, &stranger(i), after(31)).await;
            assert_eq!(reason(refused), Some(Reason::UnknownKey));
        }
        assert_eq!(scene.source.loads(), 2);
        for i in 0..50 {
            let refused = present(&scene.verifier, &stranger(i), after(60)).await;
            assert_eq!(reason(refused), Some(Reason::UnknownKey));
        }
        assert_eq!(scene.source.loads(), 2);
        assert!(present(&scene.verifier, &stranger(0), after(61)).await.is_err());
        assert_eq!(scene.source.loads(), 3);
    });
}

#[test]
fn many_first_callers_share_one_load() {
    let scene = Scene::new();
    scene.source.close_gate();
    let source = scene.source.clone();
    let tokens: Vec<_> = (0..20)
        .map(|i| scene.issuer.token(&format!("a{i}"), AUDIENCE, now(), 60).unwrap())
        .collect();
    let verifier = Arc::new(scene.verifier);
    block_on(async {
        let callers: Vec<_> = tokens
            .into_iter()
            .map(|token| {
                let verifier = Arc::clone(&verifier);
                tokio::spawn(async move { present(&verifier, &token, now()).await })
            })
            .collect();
        settle().await;
        assert_eq!(source.loads(), 1);
        assert!(callers.iter().all(|caller| !caller.is_finished()));
        source.open_gate();
        for caller in callers {
            assert!(caller.await.unwrap().is_ok());
        }
        assert_eq!(source.loads(), 1);
    });
}

#[test]
fn a_caller_that_goes_away_does_not_cut_off_the_load() {
    let scene = Scene::new();
    scene.source.close_gate();
    let token = good(&scene.issuer);
    let verifier = Arc::new(scene.verifier);
    block_on(async {
        let caller = tokio::spawn({
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            async move { present(&verifier, &token, now()).await }
        });
        settle().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        scene.source.open_gate();
        assert!(present(&verifier, &token, now()).await.is_ok());
        assert_eq!(scene.source.loads(), 1);
    });
}

#[test]
fn known_keys_serve_while_a_refresh_is_under_way() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        scene.source.close_gate();
        let token = fresh(&scene.issuer, after(301));
        present(&scene.verifier, &token, after(301)).await.unwrap();
        settle().await;
        assert_eq!(scene.source.loads(), 2, "the load is under way, and nobody waited for it");
        present(&scene.verifier, &token, after(302)).await.unwrap();
        scene.source.open_gate();
    });
}

#[test]
fn old_keys_serve_an_outage_for_a_bounded_time() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        scene.source.answers(down());
        for seconds in [310, 700, 2_000, 3_600] {
            let token = fresh(&scene.issuer, after(seconds));
            let actor = present(&scene.verifier, &token, after(seconds)).await.unwrap();
            assert_eq!(actor.chain[0].evidence.keys_fetched, Some(now()));
            settle().await;
        }
        let token = fresh(&scene.issuer, after(3_590));
        present(&scene.verifier, &token, after(3_595)).await.unwrap();
        // The same token, remembered: the keys behind it are too old now.
        let rejection = present(&scene.verifier, &token, after(3_601)).await.unwrap_err();
        assert_eq!(rejection.reason, Reason::KeysUnavailable);
        assert!(rejection.is_retryable());
        let actual = rejection.details.actual.unwrap();
        assert!(actual.contains("connection refused"), "{actual}");

        scene.source.answers(Ok(scene.issuer.jwks()));
        present(&scene.verifier, &token, after(3_640)).await.unwrap();
    });
}

#[test]
fn after_a_pause_old_keys_are_not_used_unasked() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        // Nobody called for a while, and the key was withdrawn meanwhile.
        scene.source.answers(Ok(issuer("k2").jwks()));
        let token = fresh(&scene.issuer, after(900));
        let refused = present(&scene.verifier, &token, after(900)).await;
        assert_eq!(reason(refused), Some(Reason::UnknownKey));
    });
}

#[test]
fn a_source_that_is_down_at_first_is_asked_again_after_the_interval() {
    let scene = Scene::new();
    let token = good(&scene.issuer);
    scene.source.answers(down());
    block_on(async {
        for seconds in [0, 1, 29] {
            let refused = present(&scene.verifier, &token, after(seconds)).await;
            assert_eq!(reason(refused), Some(Reason::KeysUnavailable));
        }
        assert_eq!(scene.source.loads(), 1);
        scene.source.answers(Ok(scene.issuer.jwks()));
        present(&scene.verifier, &token, after(30)).await.unwrap();
    });
}

#[test]
fn an_unknown_key_id_during_an_outage_may_be_a_new_key() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        scene.source.answers(down());
        let refused = present(&scene.verifier, &fresh(&issuer("k2"), after(40)), after(40)).await;
        assert_eq!(reason(refused), Some(Reason::KeysUnavailable));
    });
}

#[test]
fn a_bad_key_set_does_not_replace_a_good_one() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &good(&scene.issuer), now()).await.unwrap();
        for (seconds, bad) in [(310, "<html>"), (350, "{\"keys\":[]}"), (390, "")] {
            scene.source.answers(Ok(bad.to_owned()));
            let token = fresh(&scene.issuer, after(seconds));
            present(&scene.verifier, &token, after(seconds)).await.unwrap();
            settle().await;
        }
        assert_eq!(scene.source.loads(), 4);
        scene.source.answers(Ok(" ".repeat(256 * 1024 + 1)));
        let warm = scene.verifier.warm_up(after(430)).await;
        assert_eq!(warm, [("ci".to_owned(), Err(KeyError::TooLarge))]);
    });
}

#[test]
fn a_clock_that_is_set_back_does_not_freeze_the_keys() {
    let scene = Scene::new();
    block_on(async {
        present(&scene.verifier, &fresh(&scene.issuer, after(100_000)), after(100_000))
            .await
            .unwrap();
        scene.source.answers(Ok(issuer("k2").jwks()));
        let refused = present(&scene.verifier, &good(&scene.issuer), now()).await;
        assert_eq!(reason(refused), Some(Reason::UnknownKey));
        assert_eq!(scene.source.loads(), 2);
    });
}

#[test]
fn remembered_tokens_expire_with_the_token() {
    let scene = Scene::new();
    block_on(async {
        let token = scene.issuer.token("s", AUDIENCE, now(), 60).unwrap();
        present(&scene.verifier, &token, now()).await.unwrap();
        present(&scene.verifier, &token, after(59)).await.unwrap();
        let late = present(&scene.verifier, &token, after(65)).await;
        assert_eq!(reason(late), Some(Reason::Expired));
        // And a remembered token is not yet valid before its time.
        let early = present(&scene.verifier, &token, after(-6)).await;
        assert_eq!(reason(early), Some(Reason::NotYetValid));
    });
}

#[test]
fn a_remembered_token_says_what_was_found_when_it_was_verified() {
    // The evidence shows whether a token was looked at again: the time at which its keys were loaded.
    let fetched = |cache: usize, ttl_s: u64| {
        let issuer = issuer("k1");
        let source = crate::fixture::Scripted::new(Ok(issuer.jwks()));
        let limits = Config {
            token_cache_entries_max: cache,
            token_cache_ttl_s: ttl_s,
            ..config(provider())
        };
        let verifier = verifier(&limits, &source);
        let token = good(&issuer);
        block_on(async {
            let first = present(&verifier, &token, now()).await.unwrap();
            assert_eq!(verifier.warm_up(after(100)).await, [("ci".to_owned(), Ok(()))]);
            let second = present(&verifier, &token, after(101)).await.unwrap();
            assert_eq!(first.id, second.id);
            second.chain[0].evidence.keys_fetched.unwrap().unix_s() - NOW_S
        })
    };
    assert_eq!(
        fetched(10_000, 300),
        0,
        "remembered, although the unchanged keys were loaded again"
    );
    assert_eq!(fetched(10_000, 100), 100, "remembered for too long");
    assert_eq!(fetched(0, 300), 100, "not remembered");
}

#[test]
fn keys_from_a_file_follow_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let from_file = ProviderConfig { jwks_url: None, jwks_file: Some(path.clone()), ..provider() };
    let verifier = Verifier::new(&config(from_file)).unwrap();
    let (first, second) = (issuer("k1"), issuer("k2"));
    block_on(async {
        let warm = verifier.warm_up(now()).await;
        assert!(matches!(&warm[..], [(name, Err(KeyError::File { .. }))] if name == "ci"));
        std::fs::write(&path, first.jwks()).unwrap();
        present(&verifier, &good(&first), after(1)).await.unwrap();

        // A new key id is looked for in the file a second later.
        std::fs::write(&path, second.jwks()).unwrap();
        present(&verifier, &good(&second), after(2)).await.unwrap();
        assert_eq!(
            reason(present(&verifier, &good(&first), after(2)).await),
            Some(Reason::UnknownKey)
        );

        // A withdrawn key is noticed by use alone.
        std::fs::write(&path, first.jwks()).unwrap();
        assert_eq!(
            reason(present(&verifier, &good(&second), after(22)).await),
            Some(Reason::UnknownKey)
        );

        std::fs::write(&path, vec![b' '; 256 * 1024 + 1]).unwrap();
        assert_eq!(verifier.warm_up(after(40)).await, [("ci".to_owned(), Err(KeyError::TooLarge))]);
    });
}
