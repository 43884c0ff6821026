//! The stage: all pictures, in pages of a grid or around one that matters most.

use std::{rc::Rc, time::Duration};

use videocall_client::web::{Call, Participant, Participants, Quality, StreamState};
use videocall_types::ids::MediaKind;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{Element, KeyboardEvent, MediaStreamTrack};
use yew::prelude::*;
use yew_ui::{
    grid,
    i18n::Texts,
    order::{Order, Person, Spotlight},
};

use super::{
    browser,
    icons::{Icon, icon},
    tile::{Picture, Tile},
    use_app,
};

/// Space between tiles, in CSS pixels.
const GAP: f64 = 8.0;
/// Height of what turns pages, below them.
const PAGES: f64 = 52.0;
/// Share of the stage for the strip beside the large picture.
const STRIP: f64 = 0.18;
/// Tiles in the strip at most, and how long each is at least.
const STRIP_TILES: usize = 6;
const STRIP_TILE: (f64, f64) = (104.0, 62.0);

/// How pictures are arranged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    #[default]
    Grid,
    Speaker,
}

#[derive(Properties, PartialEq)]
pub(crate) struct StageProps {
    pub(crate) call: Option<Call>,
    pub(crate) own_session: u64,
    pub(crate) own_name: String,
    pub(crate) camera: Option<MediaStreamTrack>,
    pub(crate) screen: Option<MediaStreamTrack>,
    pub(crate) muted: bool,
    pub(crate) participants: Participants,
    pub(crate) speakers: Vec<u64>,
    pub(crate) layout: Layout,
    pub(crate) pinned: Option<(u64, MediaKind)>,
    pub(crate) pin: Callback<(u64, MediaKind)>,
    pub(crate) size: (f64, f64),
    pub(crate) visible: bool,
    pub(crate) texts: &'static Texts,
}

/// Something to show.
#[derive(Clone)]
enum Item {
    OwnScreen(MediaStreamTrack),
    OwnCamera,
    Of(Rc<Participant>, MediaKind),
}

impl Item {
    /// Whose, and what.
    fn key(&self, props: &StageProps) -> (u64, MediaKind) {
        match self {
            Self::OwnScreen(_) => (props.own_session, MediaKind::Screen),
            Self::OwnCamera => (props.own_session, MediaKind::Video),
            Self::Of(participant, kind) => (participant.session_id, *kind),
        }
    }

    fn is_remote_screen(&self) -> bool {
        matches!(self, Self::Of(_, MediaKind::Screen))
    }
}

/// What lasts from one rendering to the next.
#[derive(Default)]
struct Memory {
    order: Order,
    spotlight: Spotlight,
}

#[component]
pub(crate) fn Stage(props: &StageProps) -> Html {
    let page = use_state(|| 0usize);
    let memory = use_mut_ref(Memory::default);
    let (width, height) = props.size;
    let has_room = width >= 1.0 && height >= 1.0;
    let page_size = grid::page_size(width, height - PAGES, GAP);
    // Without what is beside it the front is the first page.
    let screens = screens(props);
    let large = has_room.then(|| large(props, &screens, &mut memory.borrow_mut().spotlight));
    let large = large.flatten();
    let strip = strip_tiles(width, height);
    let front = if large.is_some() { strip } else { page_size }.saturating_sub(1 + screens.len());
    let others = others(props, &mut memory.borrow_mut().order, front);
    let count = screens.len() + others.len() + 1;
    let pages = match large {
        Some(_) => 1,
        None if count <= grid::page_size(width, height, GAP) => 1,
        None => count.div_ceil(page_size),
    };
    let shown = (*page).min(pages - 1);
    use_page_keys(shown, pages, page.setter());
    if !has_room {
        return Html::default();
    }
    // Oneself is at the end of the first page.
    let own_at = (screens.len() + others.len()).min(match (&large, pages) {
        (Some(_), _) => strip - 1,
        (None, 1) => count,
        (None, _) => page_size - 1,
    });
    let mut items: Vec<Item> = screens.into_iter().chain(others).collect();
    items.insert(own_at.min(items.len()), Item::OwnCamera);
    let body = match large.and_then(|of| items.iter().position(|item| item.key(props) == of)) {
        Some(large) => around(props, &items, large, width, height),
        None if pages == 1 => tiles(props, &items, width, height),
        None => {
            let here = items.chunks(page_size).nth(shown).unwrap_or_default();
            html! {
                <>
                    { tiles(props, here, width, height - PAGES) }
                    <Pages {shown} {pages} turn={let page = page.clone(); Callback::from(move |to| page.set(to))} />
                </>
            }
        }
    };
    html! { <div class="stage-body">{ body }</div> }
}

/// Page Up and Page Down turn pages, but where they scroll something.
#[hook]
fn use_page_keys(shown: usize, pages: usize, turn: UseStateSetter<usize>) {
    use_effect_with((shown, pages), move |&(shown, pages)| {
        let listener = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
            let target = event.target().and_then(|it| it.dyn_into::<Element>().ok());
            let elsewhere = target.is_some_and(|it| it.closest(".panel").ok().flatten().is_some());
            let key = event.dyn_ref::<KeyboardEvent>().map(KeyboardEvent::key);
            let to = match key.as_deref() {
                Some("PageDown") => shown + 1,
                Some("PageUp") => shown.wrapping_sub(1),
                _ => return,
            };
            if to < pages && !elsewhere {
                event.prevent_default();
                turn.set(to);
            }
        });
        browser::on_window("keydown", listener.as_ref());
        move || browser::off_window("keydown", listener.as_ref())
    });
}

#[derive(Properties, PartialEq)]
struct PagesProps {
    shown: usize,
    pages: usize,
    turn: Callback<usize>,
}

/// Turns pages.
#[component]
fn Pages(props: &PagesProps) -> Html {
    let texts = use_app().texts();
    let &PagesProps { shown, pages, .. } = props;
    let turn = |to: usize| props.turn.reform(move |_: MouseEvent| to);
    let words = texts.page_of.replace("{page}", &(shown + 1).to_string());
    let words = words.replace("{pages}", &pages.to_string());
    html! {
        <nav class="pages" aria-label={texts.pages}>
            <button class="round small" data-testid="previous-page" disabled={shown == 0} aria-label={texts.previous_page}
                title={format!("{} (Page Up)", texts.previous_page)} onclick={turn(shown.saturating_sub(1))}>{ icon(Icon::Previous) }</button>
            <span aria-hidden="true" data-testid="page-number">{ format!("{} / {pages}", shown + 1) }</span>
            <span class="sr-only" role="status">{ words }</span>
            <button class="round small" data-testid="next-page" disabled={shown + 1 == pages} aria-label={texts.next_page}
                title={format!("{} (Page Down)", texts.next_page)} onclick={turn(shown + 1)}>{ icon(Icon::Next) }</button>
        </nav>
    }
}

/// Screens that are shared, one's own first.
fn screens(props: &StageProps) -> Vec<Item> {
    let own = props.screen.iter().cloned().map(Item::OwnScreen);
    let shared = |it: &&Rc<Participant>| it.screen != StreamState::Absent;
    let others = props.participants.iter().filter(shared);
    own.chain(others.map(|it| Item::Of(it.clone(), MediaKind::Screen)))
        .collect()
}

/// The others, those first who should be seen.
fn others(props: &StageProps, order: &mut Order, front: usize) -> Vec<Item> {
    let person = |it: &Rc<Participant>| Person {
        session: it.session_id,
        camera: it.camera == StreamState::Live,
    };
    let people: Vec<Person> = props.participants.iter().map(person).collect();
    let now = Duration::from_secs_f64(browser::now() / 1000.0);
    let places = order.update(now, &people, &props.speakers, front);
    let by_session: std::collections::HashMap<u64, &Rc<Participant>> = props
        .participants
        .iter()
        .map(|it| (it.session_id, it))
        .collect();
    let found = places.iter().filter_map(|session| by_session.get(session));
    found
        .map(|&it| Item::Of(it.clone(), MediaKind::Video))
        .collect()
}

/// What is shown large: what is pinned, a screen, or in speaker view who speaks.
fn large(
    props: &StageProps,
    screens: &[Item],
    spotlight: &mut Spotlight,
) -> Option<(u64, MediaKind)> {
    let is_here = |session| props.participants.iter().any(|it| it.session_id == session);
    let spoken = spotlight.update(&props.speakers, is_here);
    let exists = |(session, kind): &(u64, MediaKind)| match kind {
        MediaKind::Screen => screens.iter().any(|it| it.key(props) == (*session, *kind)),
        _ => *session == props.own_session || is_here(*session),
    };
    let screen = || screens.iter().find(|it| it.is_remote_screen());
    let speaker = || {
        let first = props.participants.first().map(|it| it.session_id);
        Some((spoken.or(first)?, MediaKind::Video))
    };
    props
        .pinned
        .filter(exists)
        .or_else(|| Some(screen()?.key(props)))
        .or_else(|| match props.layout {
            Layout::Speaker => speaker(),
            Layout::Grid => None,
        })
}

fn tiles(props: &StageProps, items: &[Item], width: f64, height: f64) -> Html {
    let fit = grid::fit(items.len(), width, height, GAP);
    let columns = format!(
        "grid-template-columns:repeat({}, {:.1}px);height:{height:.1}px",
        fit.columns, fit.width
    );
    html! {
        <div class="grid" style={columns}>
            { for items.iter().map(|item| tile(props, item, fit.width, fit.height)) }
        </div>
    }
}

/// How many tiles the strip has room for.
fn strip_tiles(width: f64, height: f64) -> usize {
    let (length, least) = if width > height {
        (height, STRIP_TILE.1)
    } else {
        (width, STRIP_TILE.0)
    };
    (((length + GAP) / (least + GAP)) as usize).clamp(1, STRIP_TILES)
}

/// One large, a strip of others beside it, or below on a narrow screen.
fn around(props: &StageProps, items: &[Item], large: usize, width: f64, height: f64) -> Html {
    let beside = width > height;
    let others: Vec<&Item> = items
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != large)
        .map(|(_, item)| item)
        .take(strip_tiles(width, height))
        .collect();
    let strip = if others.is_empty() {
        0.0
    } else if beside {
        (width * STRIP).clamp(120.0, 260.0)
    } else {
        (height * STRIP).clamp(70.0, 140.0)
    };
    let (small_width, small_height) = if beside {
        let room = (height - GAP * (others.len() as f64 - 1.0)) / others.len().max(1) as f64;
        let width = strip.min(room * 16.0 / 9.0);
        (width, width * 9.0 / 16.0)
    } else {
        let room = (width - GAP * (others.len() as f64 - 1.0)) / others.len().max(1) as f64;
        let width = room.min(strip * 16.0 / 9.0);
        (width, width * 9.0 / 16.0)
    };
    let (large_width, large_height) = if beside {
        (width - small_width - GAP, height)
    } else {
        (width, height - small_height - GAP)
    };
    html! {
        <div class={classes!("around", (!beside).then_some("below"))}>
            { tile(props, &items[large], large_width, large_height) }
            <div class="strip">{ for others.into_iter().map(|item| tile(props, item, small_width, small_height)) }</div>
        </div>
    }
}

fn tile(props: &StageProps, item: &Item, width: f64, height: f64) -> Html {
    let (session, kind) = item.key(props);
    let pinned = props.pinned == Some((session, kind));
    let speaking = kind == MediaKind::Video && props.speakers.contains(&session);
    let texts = props.texts;
    let screen_of = |name: &str| format!("{} {name}", texts.screen_of);
    let own = format!("{} ({})", props.own_name, texts.you);
    let (name, label, picture, live, muted) = match item {
        Item::OwnScreen(track) => (
            &props.own_name,
            screen_of(&own),
            Picture::Own(Some(track.clone())),
            true,
            false,
        ),
        Item::OwnCamera => (
            &props.own_name,
            own,
            Picture::Own(props.camera.clone()),
            props.camera.is_some(),
            props.muted,
        ),
        Item::Of(it, kind) => {
            let Some(call) = &props.call else {
                return Html::default();
            };
            let (label, state) = match kind {
                MediaKind::Screen => (screen_of(&it.display_name), it.screen),
                _ => (it.display_name.clone(), it.camera),
            };
            let muted = *kind == MediaKind::Video && it.microphone != StreamState::Live;
            let live = state == StreamState::Live;
            (
                &it.display_name,
                label,
                Picture::Remote(call.clone()),
                live,
                muted,
            )
        }
    };
    let (paused, poor) = match item {
        Item::Of(it, MediaKind::Screen) => (it.screen_paused, false),
        Item::Of(it, _) => (it.camera_paused, it.quality == Quality::Poor),
        _ => (false, false),
    };
    html! {
        <Tile key={format!("{session}-{}", kind as i32)} {session} {kind} name={name.clone()} {label} {picture} {live} {muted}
            {paused} poor={poor || paused} {pinned} {width} {height} visible={props.visible} {speaking} pin={props.pin.clone()} />
    }
}
