//! Why a meeting is over, or cannot begin, in words.

use videocall_types::close::CloseReason;

use crate::i18n::Texts;

/// The reason in the person's language. `code` is the number that the server gave.
pub fn words(code: Option<u32>, texts: &Texts) -> &'static str {
    let Some(reason) = code.and_then(CloseReason::from_code) else {
        return texts.reason_other;
    };
    match reason {
        CloseReason::Normal => texts.left,
        CloseReason::GoingAway => texts.reason_going_away,
        CloseReason::ProtocolError | CloseReason::Unsupported => texts.reason_protocol,
        CloseReason::Timeout => texts.reason_timeout,
        CloseReason::RateLimitExceeded => texts.reason_rate,
        CloseReason::InternalError => texts.reason_internal,
        CloseReason::Unauthorized => texts.reason_unauthorized,
        CloseReason::Removed => texts.reason_removed,
        CloseReason::MeetingEnded => texts.reason_meeting_ended,
        CloseReason::Replaced => texts.reason_replaced,
        CloseReason::Full => texts.reason_full,
        CloseReason::SlowConsumer => texts.reason_slow,
        // The client comes back by itself, by the long way.
        CloseReason::TicketRefused => texts.reconnecting,
    }
}

/// What the server said beyond the reason itself, if anything.
pub fn detail(code: Option<u32>, text: &str) -> Option<&str> {
    let reason = code.and_then(CloseReason::from_code);
    let text = text.trim();
    let says_more = !text.is_empty() && reason.is_none_or(|reason| reason.text() != text);
    says_more.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;

    #[test]
    fn every_reason_has_words_of_its_own() {
        for language in Language::ALL {
            let texts = language.texts();
            for reason in CloseReason::ALL {
                let words = words(Some(reason.code()), texts);
                assert_ne!(words, texts.reason_other, "{language:?} {reason:?}");
            }
            assert_eq!(words(None, texts), texts.reason_other);
            assert_eq!(words(Some(4711), texts), texts.reason_other);
        }
    }

    #[test]
    fn only_what_says_more_is_said() {
        let removed = Some(CloseReason::Removed.code());
        assert_eq!(detail(removed, CloseReason::Removed.text()), None);
        assert_eq!(detail(removed, "  "), None);
        assert_eq!(detail(removed, "be kind"), Some("be kind"));
        assert_eq!(detail(None, "guests only"), Some("guests only"));
    }
}
