//! Signs and checks join tokens: JWTs (RFC 7519) by HS256, with a key that the operator keeps.

mod hs256;
#[cfg(test)]
mod tests;

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use videocall_types::{
    limits::MAX_TOKEN_BYTES,
    token::{ClaimsError, JoinClaims, Token, TokenIdentity},
};

/// As long as what HS256 computes (RFC 7518, section 3.2).
const MIN_KEY_BYTES: usize = 32;
/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 30;

/// A key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {0} bytes is too short; at least {MIN_KEY_BYTES} random ones are needed")]
pub struct TokenKeyError(usize);

/// A token lets nobody in. The texts are for the peer: they tell nothing of what it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// Not signed with this key, not yet good, or no token at all.
    #[error("the token is not valid on this server")]
    Invalid,
    /// Signed with this key, for a name that cannot be.
    #[error("the token names nobody: {0}")]
    Names(ClaimsError),
}

/// What tokens are signed with, and checked.
#[derive(Clone)]
pub struct TokenKey {
    signs: EncodingKey,
    checks: DecodingKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// A key out of a secret.
    ///
    /// # Errors
    /// The secret is shorter than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, TokenKeyError> {
        let too_short = TokenKeyError(secret.len());
        if secret.len() < MIN_KEY_BYTES {
            return Err(too_short);
        }
        hs256::install();
        Ok(Self {
            signs: EncodingKey::from_secret(secret).map_err(|_| too_short)?,
            checks: DecodingKey::from_secret(secret).map_err(|_| too_short)?,
        })
    }

    /// A token that says this.
    ///
    /// # Errors
    /// The claims could not be used: names that are not good, or so long that no server would take
    /// the token.
    pub fn sign(&self, claims: &JoinClaims) -> Result<Token, TokenError> {
        claims.identity().map_err(TokenError::Names)?;
        let text = encode(&Header::new(Algorithm::HS256), claims, &self.signs)
            .map_err(|_| TokenError::Invalid)?;
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        Ok(Token::new(text))
    }

    /// Whom a token lets in.
    ///
    /// # Errors
    /// Nobody.
    pub fn check(&self, token: &Token) -> Result<TokenIdentity, TokenError> {
        // Before anything of it is read.
        if token.as_str().len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        let token = decode::<JoinClaims>(token.as_str(), &self.checks, &rules);
        let token = token.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Invalid,
        })?;
        token.claims.identity().map_err(TokenError::Names)
    }
}
