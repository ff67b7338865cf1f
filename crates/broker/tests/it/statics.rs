//! Secrets that are simply there.

use crate::fixture::{CANARY, Scene, alice, at, config, environment, put};
use broker::{BadCredential, Broker, Reason};
use event::{CacheUse, Kind};
use http::HeaderMap;

#[tokio::test]
async fn a_secret_goes_into_its_header_in_the_place_of_whatever_is_there() {
    for (table, header, value) in [
        (
            "type = 'static'\nsecret_file = 'DIR/secret'",
            "authorization",
            format!("Bearer {CANARY}"),
        ),
        (
            "type = 'static'\nsecret_env = 'TOKEN'\nheader = 'X-API-Key'",
            "x-api-key",
            CANARY.to_owned(),
        ),
        (
            "type = 'static'\nsecret_env = 'TOKEN'\nscheme = 'Token'",
            "authorization",
            format!("Token {CANARY}"),
        ),
    ] {
        let scene = Scene::new(table);
        let mut headers = HeaderMap::new();
        for other in ["one", "two"] {
            headers.append(header, other.parse().unwrap());
        }
        headers.insert("x-kept", "1".parse().unwrap());
        let lent = scene.lend(&alice(), at(0)).await.unwrap();
        lent.dress(&mut headers);
        assert_eq!(headers.get_all(header).iter().collect::<Vec<_>>(), [value.as_str()]);
        assert!(headers[header].is_sensitive());
        assert_eq!(headers.len(), 2);
        assert!(lent.variable().is_none());
        let credential = lent.on_record().unwrap();
        assert_eq!((credential.provider.as_str(), credential.cache), ("static", CacheUse::Miss));
        assert_eq!(scene.entries()[0].details["sha256"], credential.sha256);
    }
}

#[tokio::test]
async fn a_file_is_looked_at_again_and_a_change_is_on_record() {
    let scene = Scene::new("type = 'static'\nname = 'key'\nsecret_file = 'DIR/secret'");
    let first = scene.dressed(at(0)).await.unwrap();
    assert_eq!(first, scene.dressed(at(5)).await.unwrap());
    assert_eq!(scene.entries().len(), 1, "the same secret is issued once");
    put(scene.file("secret"), "another\n");
    assert_eq!(scene.dressed(at(10)).await.unwrap()["authorization"], "Bearer another");
    assert_eq!(scene.kinds(), [Kind::CredentialIssued; 2]);
    let entries = scene.entries();
    assert_ne!(entries[0].details["sha256"], entries[1].details["sha256"]);
    assert_eq!(entries[0].details["provider"], "key");
    assert_eq!(entries[0].details["call"], alice().call.to_string());
    assert!(entries[0].actor.is_none(), "it is for everybody");

    std::fs::remove_file(scene.file("secret")).unwrap();
    assert_eq!(scene.dressed(at(20)).await.unwrap_err().reason, Reason::File);
    assert_eq!(scene.entries()[2].kind, Kind::CredentialRefused);
    assert_eq!(scene.entries()[2].details["reason"], "credential.file");
    put(scene.file("secret"), "another\n");
    scene.dressed(at(30)).await.unwrap();
}

#[tokio::test]
async fn a_program_gets_a_variable() {
    let scene = Scene::new("type = 'static'\nsecret_file = 'DIR/secret'\nvariable = 'API_TOKEN'");
    let lent = scene.lend(&alice(), at(0)).await.unwrap();
    assert_eq!(lent.variable(), Some(("API_TOKEN", CANARY)));
    let mut headers = HeaderMap::new();
    lent.dress(&mut headers);
    assert!(headers.is_empty() && lent.on_record().is_none());
}

#[test]
fn what_is_missing_shows_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for table in [
        "type = 'static'\nsecret_file = 'DIR/none'",
        "type = 'static'\nsecret_env = 'NONE'",
        "type = 'static'",
    ] {
        let config = config(&directory, table);
        let error = Broker::new([("srv", &config)], &environment).unwrap_err();
        assert!(error.to_string().starts_with("credential of server `srv`: "), "{error}");
        let invalid = matches!(error, BadCredential::Invalid { .. });
        assert_eq!(invalid, table == "type = 'static'");
    }
}

#[tokio::test]
async fn nobody_gets_what_cannot_be_put_on_record() {
    let scene = Scene::new("type = 'static'\nsecret_file = 'DIR/secret'");
    *scene.noted.full.lock().unwrap() = true;
    assert_eq!(scene.dressed(at(0)).await.unwrap_err().reason, Reason::Unrecorded);
    *scene.noted.full.lock().unwrap() = false;
    scene.dressed(at(0)).await.unwrap();
}
