//! As whom to join, and which meeting: by names, or by a token that holds them.

use std::{env, fs::File, io::Read, path::Path};

use videocall_client::native::unverified_claims;
use videocall_types::{
    ids::{MeetingId, UserId},
    limits::MAX_TOKEN_BYTES,
    token::Token,
};

use crate::{
    args::{JoinArgs, TokenArgs},
    exit::Failure,
};

/// Where a token is that is in no file.
pub(crate) const TOKEN: &str = "VIDEOCALL_TOKEN";

/// As whom to join, and which meeting.
pub(crate) struct Identity {
    pub(crate) meeting: String,
    pub(crate) user: String,
    /// Empty where the token says it.
    pub(crate) display_name: String,
    pub(crate) token: Option<Token>,
}

impl Identity {
    /// What the settings say.
    pub(crate) fn of(args: &JoinArgs) -> Result<Self, Failure> {
        let (meeting, user) = (args.meeting_id.as_deref(), args.user_id.as_deref());
        match (Self::with_token(&args.token, meeting, user)?, meeting, user) {
            (Some(identity), ..) => Ok(identity),
            (None, Some(meeting), Some(user)) => Ok(Self::guest(meeting, user)),
            _ => Err(Failure::usage(
                "--meeting-id and --user-id are needed, or --token-file",
            )),
        }
    }

    /// Somebody who has names alone.
    pub(crate) fn guest(meeting: &str, user: &str) -> Self {
        Self {
            meeting: meeting.to_owned(),
            user: user.to_owned(),
            display_name: user.to_owned(),
            token: None,
        }
    }

    /// Whom a token names, if one is given. Names that are given beside it must be the same: whoever
    /// asks for one meeting must not come into another.
    pub(crate) fn with_token(
        args: &TokenArgs,
        meeting: Option<&str>,
        user: Option<&str>,
    ) -> Result<Option<Self>, Failure> {
        let Some((source, token)) = given(args.token_file.as_deref())? else {
            return Ok(None);
        };
        // What is none is not sent to anybody: it may be another secret.
        let claims = unverified_claims(&token)
            .ok_or_else(|| Failure::usage(format!("{source}: this is no token")))?;
        let normal = |name: &str| MeetingId::parse(name).ok();
        if let Some(meeting) = meeting
            && normal(meeting) != normal(&claims.meeting)
        {
            return Err(differs("meeting", &claims.meeting, "--meeting-id", meeting));
        }
        let normal = |name: &str| UserId::parse(name).ok();
        if let Some(user) = user
            && normal(user) != normal(&claims.sub)
        {
            return Err(differs("user", &claims.sub, "--user-id", user));
        }
        Ok(Some(Self {
            meeting: claims.meeting,
            user: claims.sub,
            display_name: String::new(),
            token: Some(token),
        }))
    }
}

fn differs(what: &str, of_token: &str, flag: &str, given: &str) -> Failure {
    Failure::usage(format!(
        "the token is for the {what} {of_token:?}, and {flag} says {given:?}: leave {flag} out, or \
         take another token"
    ))
}

/// A token and where it comes from.
fn given(file: Option<&Path>) -> Result<Option<(String, Token)>, Failure> {
    let (source, text) = match (file, env::var(TOKEN)) {
        (Some(path), _) => {
            let source = format!("--token-file: {}", path.display());
            let text = read(path).map_err(|error| Failure::usage(format!("{source}: {error}")))?;
            (source, text)
        }
        (None, Ok(text)) if !text.trim().is_empty() => (TOKEN.to_owned(), text),
        (None, Err(env::VarError::NotUnicode(_))) => {
            return Err(Failure::usage(format!("{TOKEN}: this is no token")));
        }
        (None, _) => return Ok(None),
    };
    Ok(Some((source, Token::new(text.trim()))))
}

/// No more than shows that a file is too long for a token.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let most = MAX_TOKEN_BYTES as u64 + 1024;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}
