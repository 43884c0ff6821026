//! Which tokens let somebody in, and what the others are told.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use videocall_types::ids::NameError;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const HOUR: u64 = 3600;

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn key() -> TokenKey {
    TokenKey::new(SECRET).unwrap()
}

fn claims() -> Value {
    json!({ "meeting": "demo", "sub": "pi", "exp": now() + HOUR })
}

/// The claims with one of them changed, or taken away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    if claims[name].is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    claims
}

/// A token made by hand, by RFC 7515.
fn made(header: &Value, claims: &Value, algorithm: hmac::Algorithm) -> Token {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, SECRET), message.as_bytes());
    let tag = BASE64_URL_SAFE_NO_PAD.encode(tag);
    Token::new(format!("{message}.{tag}"))
}

fn hs256(claims: &Value) -> Token {
    made(&json!({ "alg": "HS256" }), claims, hmac::HMAC_SHA256)
}

#[test]
fn what_is_signed_with_the_key_names_who_comes_in() {
    let claims = JoinClaims::new("demo", "pi", Some("North gate"), now() + HOUR).unwrap();
    let identity = key().check(&key().sign(&claims).unwrap()).unwrap();
    assert_eq!(identity, claims.identity().unwrap());
    assert_eq!(identity.display_name, "North gate");
}

#[test]
fn a_token_of_another_program_is_as_good() {
    let identity = key().check(&hs256(&claims())).unwrap();
    assert_eq!(identity.meeting.as_str(), "demo");
    assert_eq!(identity.user.as_str(), "pi");
    // What it says besides is not looked at.
    assert!(key().check(&hs256(&with("iss", json!("school")))).is_ok());
}

#[test]
fn time_has_an_end_and_a_little_leeway() {
    let ends = |exp: u64| key().check(&hs256(&with("exp", json!(exp))));
    assert_eq!(ends(now() - HOUR), Err(TokenError::Expired));
    assert_eq!(ends(0), Err(TokenError::Expired));
    assert!(ends(now()).is_ok());
    let begins = |nbf: u64| key().check(&hs256(&with("nbf", json!(nbf))));
    assert_eq!(begins(now() + HOUR), Err(TokenError::Invalid));
    assert!(begins(now() - HOUR).is_ok());
}

#[test]
fn another_key_or_another_text_is_not_valid() {
    let other = TokenKey::new(b"another key of thirty-two bytes!").unwrap();
    let token = hs256(&claims());
    assert_eq!(other.check(&token), Err(TokenError::Invalid));
    // Somebody else's claims before the same signature.
    let (_, tag) = token.as_str().rsplit_once('.').unwrap();
    let forged = hs256(&with("sub", json!("host")));
    let (message, _) = forged.as_str().rsplit_once('.').unwrap();
    let forged = Token::new(format!("{message}.{tag}"));
    assert_eq!(key().check(&forged), Err(TokenError::Invalid));
}

#[test]
fn hs256_and_nothing_else_is_taken() {
    for (name, algorithm) in [
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
        ("HS512", hmac::HMAC_SHA256),
        ("RS256", hmac::HMAC_SHA256),
        ("EdDSA", hmac::HMAC_SHA256),
        ("none", hmac::HMAC_SHA256),
        ("hs256", hmac::HMAC_SHA256),
    ] {
        let token = made(&json!({ "alg": name }), &claims(), algorithm);
        assert_eq!(key().check(&token), Err(TokenError::Invalid), "{name}");
    }
    let none = made(&json!({ "alg": "none" }), &claims(), hmac::HMAC_SHA256);
    let (unsigned, _) = none.as_str().rsplit_once('.').unwrap();
    for token in [unsigned.to_owned(), format!("{unsigned}.")] {
        assert_eq!(key().check(&Token::new(token)), Err(TokenError::Invalid));
    }
}

#[test]
fn what_is_missing_or_of_another_kind_is_not_valid() {
    for (name, value) in [
        ("exp", Value::Null),
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("meeting", Value::Null),
        ("meeting", json!(7)),
        ("sub", Value::Null),
        ("name", json!(["pi"])),
        // For somebody else.
        ("aud", json!("mail")),
    ] {
        let token = hs256(&with(name, value.clone()));
        let checked = key().check(&token);
        assert_eq!(checked, Err(TokenError::Invalid), "{name} {value}");
    }
    let unnamed = key().check(&hs256(&with("meeting", json!(" "))));
    let error = ClaimsError::Meeting(NameError::Empty);
    assert_eq!(unnamed, Err(TokenError::Names(error)));
}

#[test]
fn garbage_is_not_valid_and_not_repeated() {
    for garbage in ["", ".", "..", "...", "a.b.c", "secret", "\u{0}", "é.é.é"] {
        let error = key().check(&Token::new(garbage)).unwrap_err();
        assert_eq!(error, TokenError::Invalid, "{garbage:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at() {
    let padded = |length: usize| hs256(&with("more", json!("x".repeat(length))));
    assert!(key().check(&padded(100)).is_ok());
    let long = padded(MAX_TOKEN_BYTES);
    assert_eq!(key().check(&long), Err(TokenError::Invalid));
}

#[test]
fn the_longest_names_fit() {
    let longest = "\"".repeat(256);
    let claims = JoinClaims::new(&longest, &longest, Some(&longest), now() + HOUR).unwrap();
    let token = key().sign(&claims).unwrap();
    assert_eq!(key().check(&token), Ok(claims.identity().unwrap()));
}

#[test]
fn a_short_key_is_refused_and_a_key_is_never_shown() {
    let error = TokenKey::new(&SECRET[1..]).unwrap_err().to_string();
    assert!(
        error.contains("31 bytes") && error.contains("32"),
        "{error}"
    );
    let shown = format!("{:?}", key());
    assert!(!shown.contains("0123"), "{shown}");
}
