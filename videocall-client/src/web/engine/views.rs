//! What the page shows: where pictures go, what the server is asked for, and which of them the path
//! to here does not carry.

use std::{cmp::Reverse, collections::HashMap};

use videocall_types::{
    ids::MediaKind,
    wire::{ForwardState, Want},
};
use wasm_bindgen::{JsCast, JsValue};

use super::{RECEIVERS, js};

/// Views of the page at most.
const VIEWS: usize = 256;
/// Above the height of any picture.
const SCREEN_PRIORITY: u32 = 1 << 20;

type Key = (u64, MediaKind);

/// A place of the page that shows a picture.
pub(super) struct View {
    key: Key,
    /// In device pixels; 0 until the page has said.
    width: u32,
    height: u32,
    visible: bool,
    pub(super) writer: js::Writer,
}

/// A picture that the path did not carry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The server sends none.
    Paused,
    /// The server sends again, and nothing was shown yet.
    Ending,
}

/// All places, and what comes for them.
#[derive(Default)]
pub(super) struct Views {
    views: HashMap<u32, View>,
    paused: HashMap<Key, Pause>,
    /// Who speaks: served first among pictures of one size.
    speakers: Vec<u64>,
    changed: bool,
    pauses_changed: bool,
}

impl Views {
    pub(super) fn attach(&mut self, view: u32, session: u64, kind: i32, stream: &JsValue) {
        let writer = stream.clone().unchecked_into::<js::Writable>().writer();
        if let (Ok(writer), Ok(kind)) = (writer, MediaKind::try_from(kind))
            && self.views.len() < VIEWS
        {
            let place = View {
                key: (session, kind),
                width: 0,
                height: 0,
                visible: true,
                writer,
            };
            self.views.insert(view, place);
        }
    }

    pub(super) fn resize(&mut self, view: u32, width: u32, height: u32, visible: bool) {
        if let Some(view) = self.views.get_mut(&view) {
            (view.width, view.height, view.visible) = (width, height, visible);
            self.changed = true;
        }
    }

    pub(super) fn detach(&mut self, view: u32) {
        if let Some(view) = self.views.remove(&view) {
            js::ignore(view.writer.abort());
            self.changed = true;
        }
    }

    pub(super) fn set_speakers(&mut self, speakers: &[u64]) {
        if self.speakers != speakers {
            self.speakers = speakers.to_vec();
            self.changed = true;
        }
    }

    /// The places where a picture is seen.
    pub(super) fn of(&self, key: Key) -> impl Iterator<Item = &View> {
        let seen = move |view: &&View| view.key == key && view.visible;
        self.views.values().filter(seen)
    }

    /// Whether there is any place for a picture.
    pub(super) fn is_shown(&self, key: Key) -> bool {
        self.of(key).next().is_some()
    }

    /// What to ask the server for, if that may have changed.
    pub(super) fn changed_wants(&mut self) -> Option<Vec<Want>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut wants: HashMap<Key, Want> = HashMap::new();
        let sized = |view: &&View| view.visible && view.width > 0;
        for view in self.views.values().filter(sized) {
            let (session_id, kind) = view.key;
            let want = wants.entry(view.key).or_insert_with(|| Want {
                session_id,
                kind: kind.into(),
                ..Want::default()
            });
            want.width = want.width.max(view.width);
            want.height = want.height.max(view.height);
            want.priority = want.priority.max(self.priority(view));
        }
        self.paused.retain(|key, _| wants.contains_key(key));
        let mut wants: Vec<Want> = wants.into_values().collect();
        wants.sort_by_key(|want| (Reverse(want.priority), want.session_id));
        wants.truncate(RECEIVERS);
        Some(wants)
    }

    /// Screens first, then what is large, and of these who speaks.
    fn priority(&self, view: &View) -> u32 {
        let (session, kind) = view.key;
        if kind == MediaKind::Screen {
            return SCREEN_PRIORITY;
        }
        let speaks = u32::from(self.speakers.contains(&session));
        view.height.min(SCREEN_PRIORITY / 4) * 2 + speaks
    }

    /// The server told what it sends.
    pub(super) fn forwarding(&mut self, state: &ForwardState) {
        let key = (state.session_id, state.kind());
        if state.spatial.is_none() && self.is_shown(key) {
            self.paused.insert(key, Pause::Paused);
            self.pauses_changed = true;
        } else if let Some(pause) = self.paused.get_mut(&key) {
            *pause = Pause::Ending;
        }
    }

    /// A picture was shown: a pause that is over is seen to be over.
    pub(super) fn shown(&mut self, key: Key) {
        if self.paused.get(&key) == Some(&Pause::Ending) {
            self.paused.remove(&key);
            self.pauses_changed = true;
        }
    }

    /// A new session: the server knows of no pause.
    pub(super) fn forget_pauses(&mut self) {
        self.pauses_changed |= !self.paused.is_empty();
        self.paused.clear();
    }

    pub(super) fn is_paused(&self, key: Key) -> bool {
        self.paused.contains_key(&key)
    }

    /// Whether anything is paused.
    pub(super) fn any_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    /// Whether a pause began or ended since the last call.
    pub(super) fn take_pauses_changed(&mut self) -> bool {
        std::mem::take(&mut self.pauses_changed)
    }
}

/// Whether a picture is among those that are asked for.
pub(super) fn is_wanted(wants: &[Want], session: u64, kind: MediaKind) -> bool {
    wants
        .iter()
        .any(|want| want.session_id == session && want.kind == i32::from(kind))
}
