//! Names and numbers of meetings, people, sessions and nodes.

use std::fmt;

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::limits::MAX_NAME_BYTES;
pub use crate::wire::MediaKind;

/// A name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after white space at both ends is taken away.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the name is {0} bytes long; at most {MAX_NAME_BYTES} bytes of UTF-8 are allowed")]
    TooLong(usize),
    /// A control or bidirectional formatting character, which could forge what a log or a page
    /// shows.
    #[error("the name holds the character U+{0:04X}, which is not allowed")]
    Forbidden(u32),
}

/// Trims, brings to NFC (Unicode Standard Annex #15) and checks a name.
fn normalize(text: &str) -> Result<String, NameError> {
    // Normalisation makes a text at most three times longer: bound the work before doing it.
    if text.len() > 4 * MAX_NAME_BYTES {
        return Err(NameError::TooLong(text.len()));
    }
    let name: String = text.trim().nfc().collect();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    if let Some(bad) = name.chars().find(|&c| c.is_control() || is_bidi_control(c)) {
        return Err(NameError::Forbidden(u32::from(bad)));
    }
    Ok(name)
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The name by which people find a meeting: any Unicode, 1 to 256 bytes in NFC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeetingId {
    name: String,
    token: String,
}

impl MeetingId {
    /// Takes what a person or a URL gave, already percent-decoded.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = normalize(text)?;
        let digest = Sha256::digest(name.as_bytes());
        Ok(Self {
            token: hex(&digest[..16]),
            name,
        })
    }

    /// The name as people see it.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// 32 hexadecimal digits that stand for the meeting in bus subjects and keys: no input of a
    /// user can form or split a subject.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Who a person is to the server: an account, or the name that a guest gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(String);

impl UserId {
    /// Takes what a person or a URL gave, already percent-decoded: any Unicode, 1 to 256 bytes in
    /// NFC.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        normalize(text).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection of one participant, given by the server. Never 0, and below 2^53 so that every
/// language holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// One more than the largest id.
    pub const END: u64 = 1 << 53;

    /// The id with that number, unless it is 0 or too large.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number >= Self::END {
            None
        } else {
            Some(Self(number))
        }
    }

    /// An id out of 64 random bits.
    pub const fn from_random(bits: u64) -> Self {
        Self((bits % (Self::END - 1)) + 1)
    }

    /// The number on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of one server process: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(String);

impl NodeId {
    /// An id out of 64 random bits.
    pub fn from_random(bits: u64) -> Self {
        Self(hex(&bits.to_be_bytes()))
    }

    /// An id that another node gave, if it has the right form.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_trimmed_and_composed() {
        let composed = MeetingId::parse("  Caf\u{e9} ").unwrap();
        let decomposed = MeetingId::parse("Cafe\u{301}").unwrap();
        assert_eq!(composed, decomposed);
        assert_eq!(composed.as_str(), "Caf\u{e9}");
        assert_eq!(composed.token().len(), 32);
        assert_ne!(composed.token(), MeetingId::parse("cafe").unwrap().token());
    }

    #[test]
    fn bad_names_say_why() {
        assert_eq!(MeetingId::parse(" \t "), Err(NameError::Empty));
        assert_eq!(UserId::parse("a\nb"), Err(NameError::Forbidden(0x0a)));
        assert_eq!(
            UserId::parse("a\u{202e}b"),
            Err(NameError::Forbidden(0x202e))
        );
        assert_eq!(
            UserId::parse(&"я".repeat(129)),
            Err(NameError::TooLong(258))
        );
        assert!(UserId::parse(&"я".repeat(128)).is_ok());
    }

    #[test]
    fn session_ids_stay_in_range() {
        assert_eq!(SessionId::new(0), None);
        assert_eq!(SessionId::new(SessionId::END), None);
        assert_eq!(SessionId::from_random(0).get(), 1);
    }

    #[test]
    fn node_ids_have_one_form() {
        let id = NodeId::from_random(0xfe);
        assert_eq!(NodeId::parse(id.as_str()), Some(id));
        assert_eq!(NodeId::parse("*"), None);
        assert_eq!(NodeId::parse("00000000000000F0"), None);
    }

    proptest! {
        #[test]
        fn tokens_never_leave_their_alphabet(text in "\\PC{1,80}") {
            if let Ok(id) = MeetingId::parse(&text) {
                prop_assert!(id.token().bytes().all(|b| b.is_ascii_hexdigit()));
                prop_assert_eq!(MeetingId::parse(id.as_str()).unwrap(), id);
            }
        }

        #[test]
        fn random_session_ids_are_valid(bits: u64) {
            let id = SessionId::from_random(bits);
            prop_assert_eq!(SessionId::new(id.get()), Some(id));
        }
    }
}
