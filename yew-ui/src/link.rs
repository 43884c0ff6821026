//! Addresses of meetings.

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The start page.
    Start,
    /// A meeting; the name is there in a direct link only.
    Meeting {
        /// The name to join under.
        name: Option<String>,
        /// The meeting.
        meeting: String,
    },
}

/// Reads a path whose segments are already percent-decoded.
pub fn route(segments: &[String]) -> Route {
    let meeting = |name, meeting: &String| Route::Meeting {
        name,
        meeting: meeting.clone(),
    };
    match segments {
        [first, id] if first == "meeting" && !id.is_empty() => meeting(None, id),
        [first, name, id] if first == "meeting" && !id.is_empty() => {
            meeting(Some(name.clone()).filter(|name| !name.is_empty()), id)
        }
        _ => Route::Start,
    }
}

/// The meeting in what somebody typed or pasted: a code, or a link to it. Percent-encoding is left
/// to the caller, who has a browser for it.
pub fn meeting_in(text: &str) -> Option<&str> {
    let text = text.trim();
    let code = match text.split_once("/meeting/") {
        Some((_, path)) => {
            let path = path
                .split(['?', '#'])
                .next()
                .unwrap_or_default()
                .trim_end_matches('/');
            path.rsplit('/').next().unwrap_or_default()
        }
        None => text,
    };
    (!code.is_empty() && code.len() <= 256).then_some(code)
}

/// A name for a new meeting that can be read out: three groups of letters that are not mistaken for
/// each other. `random` gives numbers from 0 up to 1.
pub fn new_meeting(mut random: impl FnMut() -> f64) -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
    let mut group = |length: usize| -> String {
        (0..length)
            .map(|_| {
                let at = (random() * LETTERS.len() as f64) as usize;
                char::from(LETTERS[at.min(LETTERS.len() - 1)])
            })
            .collect()
    };
    [group(3), group(4), group(3)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_codes_name_the_same_meeting() {
        for text in [
            "abc-defg-hij",
            "  abc-defg-hij ",
            "http://localhost:8080/meeting/abc-defg-hij",
            "https://example.org/meeting/Ann/abc-defg-hij?x=1",
            "https://example.org/meeting/abc-defg-hij/",
        ] {
            assert_eq!(meeting_in(text), Some("abc-defg-hij"), "{text}");
        }
        assert_eq!(meeting_in("  "), None);
        assert_eq!(meeting_in("https://example.org/meeting/"), None);
    }

    #[test]
    fn paths_lead_to_pages() {
        let path = |segments: &[&str]| {
            route(&segments.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(path(&[""]), Route::Start);
        assert_eq!(
            path(&["meeting", "x"]),
            Route::Meeting {
                name: None,
                meeting: "x".into()
            }
        );
        assert_eq!(
            path(&["meeting", "Ann", "x"]),
            Route::Meeting {
                name: Some("Ann".into()),
                meeting: "x".into()
            }
        );
        assert_eq!(path(&["meeting", "Ann", ""]), Route::Start);
    }

    #[test]
    fn new_meetings_can_be_read_out() {
        let mut n = 0.0;
        let name = new_meeting(|| {
            n = (n + 0.37) % 1.0;
            n
        });
        assert_eq!(name.len(), 12);
        assert_eq!(meeting_in(&name), Some(name.as_str()));
    }
}
