//! Join tokens: who may come into which meeting, and until when.
//!
//! A token is a signed JWT (RFC 7519). This module knows what it says and not how it is signed or
//! checked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{MeetingId, NameError, UserId};

/// A token as it is shown at the door. Whoever has it comes in, so it never appears in a log: not
/// even its debug form shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What somebody brings, of whatever form.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What a token says. Other claims are not looked at here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinClaims {
    /// The one meeting that it opens.
    pub meeting: String,
    /// Id of the user.
    pub sub: String,
    /// Name that the others see, if it is not the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when somebody may come in with it, in seconds since 1970.
    pub exp: u64,
}

/// Who comes in with a token, by names that were found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIdentity {
    /// Which meeting.
    pub meeting: MeetingId,
    /// Who.
    pub user: UserId,
    /// Name that the others see.
    pub display_name: String,
}

/// A name in a token cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// That of the meeting.
    #[error("the meeting's name: {0}")]
    Meeting(NameError),
    /// That of the user.
    #[error("the user's id: {0}")]
    User(NameError),
    /// That which the others see.
    #[error("the name to show: {0}")]
    Name(NameError),
}

impl JoinClaims {
    /// Claims whose names are good.
    ///
    /// # Errors
    /// A name is not; the text says which.
    pub fn new(
        meeting: &str,
        user: &str,
        name: Option<&str>,
        exp: u64,
    ) -> Result<Self, ClaimsError> {
        let name = name.map(display_name).transpose()?;
        Ok(Self {
            meeting: meeting_id(meeting)?.as_str().to_owned(),
            sub: user_id(user)?.as_str().to_owned(),
            name,
            exp,
        })
    }

    /// Whom they name.
    ///
    /// # Errors
    /// A name is not good; the text says which.
    pub fn identity(&self) -> Result<TokenIdentity, ClaimsError> {
        let user = user_id(&self.sub)?;
        let display_name = match &self.name {
            Some(name) => display_name(name)?,
            None => user.as_str().to_owned(),
        };
        Ok(TokenIdentity {
            meeting: meeting_id(&self.meeting)?,
            user,
            display_name,
        })
    }
}

fn meeting_id(text: &str) -> Result<MeetingId, ClaimsError> {
    MeetingId::parse(text).map_err(ClaimsError::Meeting)
}

fn user_id(text: &str) -> Result<UserId, ClaimsError> {
    UserId::parse(text).map_err(ClaimsError::User)
}

/// By the same rules as an id.
fn display_name(text: &str) -> Result<String, ClaimsError> {
    let name = UserId::parse(text).map_err(ClaimsError::Name)?;
    Ok(name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_name_to_show_is_seen_by_the_id() {
        let claims = JoinClaims::new(" demo ", "pi", None, 1).unwrap();
        let identity = claims.identity().unwrap();
        assert_eq!(identity.meeting.as_str(), "demo");
        assert_eq!(
            (identity.user.as_str(), &*identity.display_name),
            ("pi", "pi")
        );
        let named = JoinClaims::new("demo", "pi", Some("North gate"), 1).unwrap();
        assert_eq!(named.identity().unwrap().display_name, "North gate");
    }

    #[test]
    fn a_bad_name_is_told_by_its_place() {
        let claims = |meeting: &str, user: &str, name: Option<&str>| JoinClaims {
            meeting: meeting.to_owned(),
            sub: user.to_owned(),
            name: name.map(str::to_owned),
            exp: 1,
        };
        for (claims, error) in [
            (
                claims(" ", "pi", None),
                ClaimsError::Meeting(NameError::Empty),
            ),
            (
                claims("demo", "", None),
                ClaimsError::User(NameError::Empty),
            ),
            (
                claims("demo", "pi", Some("a\nb")),
                ClaimsError::Name(NameError::Forbidden(0x0a)),
            ),
        ] {
            assert_eq!(claims.identity(), Err(error));
            let made = JoinClaims::new(&claims.meeting, &claims.sub, claims.name.as_deref(), 1);
            assert_eq!(made, Err(error));
        }
    }

    #[test]
    fn the_debug_form_does_not_show_the_secret() {
        assert!(!format!("{:?}", Token::new("hidden")).contains("hidden"));
    }
}
