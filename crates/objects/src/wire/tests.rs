//! Signatures, against the examples that Amazon publishes.
//!
//! Source: S3 API reference, "Signature calculations for the Authorization header: transferring
//! payload in a single chunk", examples.

use super::*;
use crate::config::Credentials;
use aws_lc_rs::digest;

/// Friday, 24 May 2013, 00:00:00 GMT.
const THEN: u64 = 1_369_353_600;

fn wire() -> Wire {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let config = Config {
        endpoint: Some("https://s3.amazonaws.com".parse().unwrap()),
        region: "us-east-1".to_owned(),
        bucket: "examplebucket".to_owned(),
        prefix: String::new(),
        credentials: Credentials::new("AKIAIOSFODNN7EXAMPLE".to_owned(), secret.to_owned(), None),
        path_style: false,
        allow_insecure_http_loopback: false,
        authorities_pem: None,
        limits: Limits::default(),
    };
    Wire::new(&config, &Place::new(&config).unwrap()).unwrap()
}

fn ask(method: Method, target: &str, headers: &[(&'static str, &str)], body: &'static str) -> Ask {
    let mut body_sha256 = [0; 32];
    body_sha256.copy_from_slice(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    Ask {
        doing: "test".to_owned(),
        method,
        target: target.to_owned(),
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body: Bytes::from_static(body.as_bytes()),
        body_sha256,
        answer_bytes_max: 0,
    }
}

#[tokio::test]
async fn signatures_are_those_of_the_published_examples() {
    let table = [
        (
            ask(Method::GET, "/test.txt", &[("range", "bytes=0-9")], ""),
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            ask(
                Method::PUT,
                "/test%24file.text",
                &[
                    ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ],
                "Welcome to Amazon S3.",
            ),
            "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, \
             Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            ask(Method::GET, "/?lifecycle", &[], ""),
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            ask(Method::GET, "/?max-keys=2&prefix=J", &[], ""),
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(THEN);
    for (ask, expected) in table {
        let request = wire().signed(&ask, now).unwrap();
        let authorization = &request.headers()["authorization"];
        let credential = "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
        let expected = format!("AWS4-HMAC-SHA256 {credential}, {expected}");
        assert_eq!(authorization.to_str().unwrap(), expected);
        assert!(authorization.is_sensitive());
        assert_eq!(request.headers()["x-amz-date"], "20130524T000000Z");
        assert_eq!(request.headers()["x-amz-content-sha256"], hex(&ask.body_sha256).as_str());
        assert!(!format!("{request:?}").contains("Signature="));
    }
}

#[tokio::test]
async fn the_deadline_grows_with_the_bytes() {
    let wire = wire();
    let rate = u64::from(wire.limits.bytes_per_s_min.get());
    let mut ask = ask(Method::GET, "/a", &[], "");
    assert_eq!(wire.deadline(&ask), wire.limits.request_timeout);
    ask.answer_bytes_max = rate * 7;
    assert_eq!(wire.deadline(&ask), wire.limits.request_timeout + Duration::from_secs(7));
}

#[test]
fn a_time_that_is_no_date_is_refused() {
    assert!(Clock::start(UNIX_S_MAX).is_ok());
    assert!(matches!(Clock::start(UNIX_S_MAX + 1), Err(ObjectError::BadTime { .. })));
}

#[test]
fn pauses_double_up_to_their_bound() {
    let pauses = |attempts: &[u32]| {
        let limits = Limits::default();
        attempts.iter().map(|&n| pause(&limits, n).as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(
        pauses(&[1, 2, 3, 6, 7, 40, u32::MAX]),
        [200, 400, 800, 6_400, 10_000, 10_000, 10_000]
    );
}
