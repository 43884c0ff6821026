//! What a participant looks at.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use videocall_types::wire::{MediaKind, Subscribe, Want};

/// Size of the simulated window in pixels.
const WINDOW: (u32, u32) = (1280, 720);
/// Small pictures beside the speaker.
const STRIP: usize = 5;
/// Their size.
const STRIP_TILE: (u32, u32) = (160, 90);

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Everything of everybody in the highest layers.
    #[default]
    Everything,
    /// So many equal tiles in a window of 1280 × 720.
    Grid(u32),
    /// Who speaks in the whole window, five others in small.
    Speaker,
    /// No picture at all.
    Audio,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', ':', '=', '-']);
        let layout = match (words.next(), words.next()) {
            (Some("everything"), None) => Self::Everything,
            (Some("speaker"), None) => Self::Speaker,
            (Some("audio"), None) => Self::Audio,
            (Some("grid"), Some(tiles)) => match tiles.parse() {
                Ok(tiles @ 1..=400) => Self::Grid(tiles),
                _ => return Err(format!("`{tiles}` tiles: give 1 to 400")),
            },
            (Some("grid"), None) => Self::Grid(9),
            _ => {
                return Err(format!(
                    "`{text}` is no layout: everything, speaker, audio, or grid:9"
                ));
            }
        };
        match words.next() {
            Some(more) => Err(format!("`{more}` is too much in `{text}`")),
            None => Ok(layout),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Grid(tiles) => write!(f, "grid:{tiles}"),
            Self::Speaker => f.write_str("speaker"),
            Self::Audio => f.write_str("audio"),
        }
    }
}

impl Layout {
    /// What to ask the server for. `cameras` are the others with a camera, oldest first; `screens`
    /// those who share theirs: the first of them has the whole window, and the others the rest, as in
    /// this project's client; `speakers` those who speak, loudest first. `max_temporal` limits every picture.
    pub fn subscribe(
        self,
        cameras: &[u64],
        screens: &[u64],
        speakers: &[u64],
        max_temporal: Option<u32>,
    ) -> Subscribe {
        let want = |session_id: u64, (width, height): (u32, u32), priority: u32| Want {
            session_id,
            kind: MediaKind::Video.into(),
            paused: false,
            width,
            height,
            max_temporal,
            priority,
        };
        let wants: Vec<Want> = match self {
            Self::Everything if max_temporal.is_none() => Vec::new(),
            Self::Everything => cameras
                .iter()
                .map(|camera| want(*camera, WINDOW, 1))
                .collect(),
            Self::Audio => Vec::new(),
            Self::Grid(tiles) => {
                let shown = cameras.len().min(tiles as usize).max(1) as u32;
                let columns = (1..).find(|n| n * n >= shown).unwrap_or(1);
                let rows = shown.div_ceil(columns);
                let size = (WINDOW.0 / columns, WINDOW.1 / rows);
                cameras
                    .iter()
                    .take(tiles as usize)
                    .map(|camera| want(*camera, size, 1))
                    .collect()
            }
            Self::Speaker => {
                let main = speakers
                    .iter()
                    .find(|speaker| cameras.contains(speaker))
                    .or(cameras.first());
                let strip = cameras
                    .iter()
                    .filter(|camera| Some(*camera) != main)
                    .take(STRIP)
                    .map(|camera| want(*camera, STRIP_TILE, 1));
                let main = main.map(|camera| want(*camera, WINDOW, 2));
                main.into_iter().chain(strip).collect()
            }
        };
        let screen = (self != Self::Audio).then(|| screens.first()).flatten();
        // A layout of everything asks for nothing by name, and gets the screens too.
        let screen = screen.filter(|_| self != Self::Everything);
        let screen = screen.map(|screen| Want {
            kind: MediaKind::Screen.into(),
            max_temporal: None,
            ..want(*screen, WINDOW, 3)
        });
        Subscribe {
            all: self == Self::Everything,
            wants: screen.into_iter().chain(wants).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_read() {
        assert_eq!("grid 9".parse(), Ok(Layout::Grid(9)));
        assert_eq!("grid:16".parse(), Ok(Layout::Grid(16)));
        assert_eq!("speaker".parse(), Ok(Layout::Speaker));
        assert!("gird:9".parse::<Layout>().is_err());
        assert!("grid:0".parse::<Layout>().is_err());
    }

    #[test]
    fn a_grid_shows_as_many_as_it_has_tiles() {
        let cameras: Vec<u64> = (1..=20).collect();
        let subscribe = Layout::Grid(9).subscribe(&cameras, &[], &[], None);
        assert!(!subscribe.all);
        assert_eq!(subscribe.wants.len(), 9);
        assert!(
            subscribe
                .wants
                .iter()
                .all(|want| want.width == 426 && want.height == 240)
        );
    }

    #[test]
    fn the_speaker_is_large_and_the_others_small() {
        let subscribe = Layout::Speaker.subscribe(&[1, 2, 3], &[], &[9, 3], None);
        let sizes: Vec<_> = subscribe
            .wants
            .iter()
            .map(|w| (w.session_id, w.width))
            .collect();
        assert_eq!(sizes, [(3, 1280), (1, 160), (2, 160)]);
    }

    #[test]
    fn a_screen_has_the_window() {
        let subscribe = Layout::Grid(4).subscribe(&[1, 2], &[5, 6], &[], Some(0));
        let first = &subscribe.wants[0];
        assert_eq!((first.session_id, first.kind()), (5, MediaKind::Screen));
        assert_eq!((first.width, first.max_temporal), (1280, None));
        assert_eq!(subscribe.wants.len(), 3);
        assert!(
            Layout::Audio
                .subscribe(&[1], &[5], &[], None)
                .wants
                .is_empty()
        );
    }
}
