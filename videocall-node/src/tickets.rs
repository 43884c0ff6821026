//! Resume tickets: sealed by one node, opened by any node of the installation, good for one use.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 8 | the epoch whose key seals it |
//! | 12 | nonce |
//! | 16 | session id and end of validity, encrypted |
//! | 16 | tag |
//!
//! ChaCha20-Poly1305 (RFC 8439). User and meeting are its associated data: for others it does not
//! open. Time is divided into epochs of a ticket's lifetime, each with a random key of its own. Why
//! it is so: `docs/decisions/resume.md`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use parking_lot::RwLock;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use videocall_types::ids::SessionId;

const VERSION: u8 = 1;
const NONCE: usize = 12;
const HEAD: usize = 1 + 8;
const CONTENT: usize = 16;
const TAG: usize = 16;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;

/// Why a ticket is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not sealed by a key that is known, or for somebody else, or changed.
    #[error("the resume ticket is not valid")]
    Invalid,
    /// It was once.
    #[error("the resume ticket has expired")]
    Expired,
    /// Its session was continued by it, or by another ticket.
    #[error("the resume ticket was used before")]
    Spent,
    /// Whether it was used cannot be known now.
    #[error("the resume ticket cannot be checked now")]
    Unavailable,
}

impl TicketError {
    /// All of them, each at its own place.
    pub(crate) const ALL: [Self; 4] =
        [Self::Invalid, Self::Expired, Self::Spent, Self::Unavailable];

    /// Name in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Spent => "spent",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// For whom a ticket is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) user_id: &'a [u8],
    /// `MeetingId::token`.
    pub(crate) meeting: &'a str,
}

impl Holder<'_> {
    fn associated(self, head: &[u8]) -> Vec<u8> {
        // With its length, so that no part of one can pass for a part of the other.
        let length = (self.user_id.len() as u64).to_be_bytes();
        [head, &length, self.user_id, self.meeting.as_bytes()].concat()
    }
}

/// The keys of a node, those of three epochs at most.
#[derive(Clone)]
pub struct TicketKeys(Arc<Keys>);

struct Keys {
    lifetime: Duration,
    keys: RwLock<BTreeMap<u64, LessSafeKey>>,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl TicketKeys {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self(Arc::new(Keys {
            lifetime: lifetime.max(Duration::from_secs(1)),
            keys: RwLock::default(),
        }))
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    pub(crate) fn epoch(&self, now_ms: u64) -> u64 {
        now_ms / self.0.lifetime.as_millis() as u64
    }

    /// The epochs whose keys are needed now: tickets of the previous one are still valid, and the
    /// clock of another node may be ahead.
    pub(crate) fn epochs(&self, now_ms: u64) -> [u64; 3] {
        let now = self.epoch(now_ms);
        [now.saturating_sub(1), now, now + 1]
    }

    /// Whether tickets can be sealed now.
    pub(crate) fn is_ready(&self, now_ms: u64) -> bool {
        self.0.keys.read().contains_key(&self.epoch(now_ms))
    }

    /// From now on these are the keys.
    pub(crate) fn set(&self, keys: impl IntoIterator<Item = (u64, [u8; KEY])>) {
        let keys = keys.into_iter().filter_map(|(epoch, bytes)| {
            let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok()?;
            Some((epoch, LessSafeKey::new(key)))
        });
        *self.0.keys.write() = keys.collect();
    }

    /// Makes the keys that are missing, of a node that shares them with no one.
    pub(crate) fn make(&self, now_ms: u64) {
        if self.is_ready(now_ms) {
            return;
        }
        let mut keys = self.0.keys.write();
        let epochs = self.epochs(now_ms);
        keys.retain(|epoch, _| epochs.contains(epoch));
        keys.entry(self.epoch(now_ms)).or_insert_with(|| {
            let bytes: [u8; KEY] = rand::random();
            let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes);
            LessSafeKey::new(key.expect("32 bytes are a key"))
        });
    }

    /// A ticket for that session; `None` while there is no key.
    pub(crate) fn seal(
        &self,
        now_ms: u64,
        session: SessionId,
        holder: Holder<'_>,
    ) -> Option<Bytes> {
        let epoch = self.epoch(now_ms);
        let keys = self.0.keys.read();
        let key = keys.get(&epoch)?;
        let nonce: [u8; NONCE] = rand::random();
        let mut ticket = Vec::with_capacity(HEAD + NONCE + CONTENT + TAG);
        ticket.push(VERSION);
        ticket.extend(epoch.to_be_bytes());
        let associated = Aad::from(holder.associated(&ticket));
        ticket.extend(nonce);
        let end = now_ms + self.0.lifetime.as_millis() as u64;
        let mut content = [0; CONTENT];
        content[..8].copy_from_slice(&session.get().to_be_bytes());
        content[8..].copy_from_slice(&end.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, associated, &mut content)
            .ok()?;
        ticket.extend(content);
        ticket.extend(tag.as_ref());
        Some(ticket.into())
    }

    /// The session that a ticket is for.
    pub(crate) fn open(
        &self,
        now_ms: u64,
        ticket: &[u8],
        holder: Holder<'_>,
    ) -> Result<SessionId, TicketError> {
        let invalid = TicketError::Invalid;
        let (head, rest) = ticket.split_at_checked(HEAD).ok_or(invalid)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(invalid)?;
        if head[0] != VERSION || sealed.len() != CONTENT + TAG {
            return Err(invalid);
        }
        let epoch = head[1..].try_into().map_err(|_| invalid)?;
        let epoch = u64::from_be_bytes(epoch);
        if !self.epochs(now_ms).contains(&epoch) {
            // Nothing in it can be believed but that it is of no use.
            return Err(TicketError::Expired);
        }
        let keys = self.0.keys.read();
        let key = keys.get(&epoch).ok_or(invalid)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| invalid)?;
        let associated = Aad::from(holder.associated(head));
        let mut content = sealed.to_vec();
        let content = key
            .open_in_place(nonce, associated, &mut content)
            .map_err(|_| invalid)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or(0);
        if now_ms >= number(&content[8..]) {
            return Err(TicketError::Expired);
        }
        SessionId::new(number(&content[..8])).ok_or(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 1_000_000 * HOUR + 5;
    const ANN: Holder<'static> = Holder {
        user_id: b"ann",
        meeting: "m",
    };

    fn keys() -> TicketKeys {
        let keys = TicketKeys::new(Duration::from_millis(HOUR));
        keys.make(NOW);
        keys
    }

    fn session() -> SessionId {
        SessionId::new(7).unwrap()
    }

    #[test]
    fn a_ticket_opens_for_its_holder_until_it_expires() {
        let keys = keys();
        let ticket = keys.seal(NOW, session(), ANN).unwrap();
        assert_eq!(ticket.len(), 53);
        assert_eq!(keys.open(NOW, &ticket, ANN), Ok(session()));
        let last = NOW + HOUR - 1;
        keys.make(last);
        assert_eq!(keys.open(last, &ticket, ANN), Ok(session()));
        let expired = Err(TicketError::Expired);
        assert_eq!(keys.open(last + 1, &ticket, ANN), expired);
        assert_eq!(keys.open(NOW + 10 * HOUR, &ticket, ANN), expired);
    }

    #[test]
    fn for_another_user_or_meeting_it_does_not_open() {
        let keys = keys();
        let ticket = keys.seal(NOW, session(), ANN).unwrap();
        for (user_id, meeting) in [("ben", "m"), ("ann", "n"), ("an", "nm"), ("annm", "")] {
            let holder = Holder {
                user_id: user_id.as_bytes(),
                meeting,
            };
            let opened = keys.open(NOW, &ticket, holder);
            assert_eq!(opened, Err(TicketError::Invalid), "{user_id} {meeting}");
        }
    }

    #[test]
    fn what_is_changed_or_cut_does_not_open() {
        let keys = keys();
        let ticket = keys.seal(NOW, session(), ANN).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.to_vec();
            changed[at] ^= 1;
            assert!(keys.open(NOW, &changed, ANN).is_err(), "byte {at}");
            assert!(keys.open(NOW, &ticket[..at], ANN).is_err(), "{at} bytes");
        }
        let longer = [&ticket[..], &[0]].concat();
        assert!(keys.open(NOW, &longer, ANN).is_err());
    }

    #[test]
    fn another_server_or_the_same_started_anew_does_not_open_it() {
        let ticket = keys().seal(NOW, session(), ANN).unwrap();
        assert_eq!(keys().open(NOW, &ticket, ANN), Err(TicketError::Invalid));
    }

    #[test]
    fn keys_change_with_every_epoch_and_are_forgotten() {
        let keys = keys();
        let first = keys.0.keys.read().keys().copied().collect::<Vec<_>>();
        keys.make(NOW + 5 * HOUR);
        let later = keys.0.keys.read().keys().copied().collect::<Vec<_>>();
        assert_eq!((first.len(), later.len()), (1, 1));
        assert_ne!(first, later);
    }

    #[test]
    fn without_a_key_there_is_no_ticket() {
        let keys = TicketKeys::new(Duration::from_millis(HOUR));
        assert!(!keys.is_ready(NOW));
        assert_eq!(keys.seal(NOW, session(), ANN), None);
        let epoch = keys.epoch(NOW);
        keys.set([(epoch, [7; KEY])]);
        let ticket = keys.seal(NOW, session(), ANN).unwrap();
        // As another node with the same keys would.
        let other = TicketKeys::new(Duration::from_millis(HOUR));
        other.set([(epoch, [7; KEY]), (epoch + 1, [8; KEY])]);
        assert_eq!(other.open(NOW, &ticket, ANN), Ok(session()));
    }
}
