//! What anybody reads of a broker holds no secret.

use crate::fixture::{CANARY, Scene, alice, at};
use crate::issuer::{Issuer, Reply};
use serde_json::json;

#[tokio::test]
async fn nothing_that_can_be_shown_shows_a_secret() {
    let body = json!({"access_token": format!("{CANARY}-token"), "token_type": "Bearer", "expires_in": 300});
    let issuer = Issuer::saying(Reply::Json(200, body.to_string())).await;
    let client = format!(
        "type = 'oauth-client-credentials'\ntoken_url = '{}/token'\nclient_id = 'gw'\n\
         allow_insecure_loopback = true\nsecret_env = 'TOKEN'",
        issuer.origin
    );
    for table in ["type = 'static'\nsecret_env = 'TOKEN'", &client] {
        let scene = Scene::new(table);
        let lent = scene.lend(&alice(), at(0)).await.unwrap();
        let headers = scene.dressed(at(0)).await.unwrap();
        let events = serde_json::to_string(&lent.on_record()).unwrap();
        let shown =
            format!("{scene:?} {scene:#?} {lent:?} {headers:?} {:?} {events}", scene.entries());
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains(&lent.on_record().unwrap().sha256));
    }
}
