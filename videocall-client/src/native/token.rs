//! What a token says to who brings it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use videocall_types::{
    limits::MAX_TOKEN_BYTES,
    token::{JoinClaims, Token},
};

/// What a token says, if it is one. Whether it is true only the server can tell: good for choosing
/// a server by the meeting, or for telling somebody what a token is for.
pub fn unverified_claims(token: &Token) -> Option<JoinClaims> {
    let text = token.as_str();
    if text.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Token {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        Token::new(format!("head.{claims}.tag"))
    }

    #[test]
    fn a_token_tells_what_it_is_for() {
        let claims = unverified_claims(&token(r#"{"meeting":"demo","sub":"pi","exp":1}"#)).unwrap();
        assert_eq!((&*claims.meeting, &*claims.sub), ("demo", "pi"));
    }

    #[test]
    fn what_is_no_token_tells_nothing() {
        let long = format!(
            r#"{{"meeting":"demo","sub":"{}","exp":1}}"#,
            "x".repeat(4096)
        );
        for wrong in [token("{}"), token("no"), token(&long), Token::new("a.!.b")] {
            assert_eq!(unverified_claims(&wrong), None);
        }
        for wrong in ["", "a.b", "a.b.c.d"] {
            assert_eq!(unverified_claims(&Token::new(wrong)), None);
        }
    }
}
