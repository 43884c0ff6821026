//! The stage: all pictures, in a grid or around one that matters most.

use videocall_client::web::{Call, Participant, Quality, StreamState};
use videocall_types::ids::MediaKind;
use web_sys::MediaStreamTrack;
use yew::prelude::*;
use yew_ui::grid;

use super::{
    icons::{Icon, icon},
    tile::{Picture, Tile},
    use_app,
};

/// Space between tiles, in CSS pixels.
const GAP: f64 = 8.0;
/// Share of the stage for the strip beside the large picture.
const STRIP: f64 = 0.18;
/// Tiles in the strip at most.
const STRIP_TILES: usize = 6;

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
    pub(crate) participants: Vec<Participant>,
    pub(crate) speakers: Vec<u64>,
    pub(crate) layout: Layout,
    pub(crate) pinned: Option<(u64, MediaKind)>,
    pub(crate) pin: Callback<(u64, MediaKind)>,
    pub(crate) size: (f64, f64),
    pub(crate) visible: bool,
}

/// Something to show.
struct Item {
    session: u64,
    kind: MediaKind,
    name: String,
    label: String,
    picture: Picture,
    live: bool,
    muted: bool,
    poor: bool,
}

#[component]
pub(crate) fn Stage(props: &StageProps) -> Html {
    let page = use_state(|| 0usize);
    let texts = use_app().texts();
    let items = items(props, texts);
    let (width, height) = props.size;
    if width < 1.0 || height < 1.0 {
        return Html::default();
    }
    let large = large(props, &items);
    let body = match large {
        Some(large) => around(props, &items, large, width, height),
        None => {
            let size = grid::page_size(width, height, GAP);
            let pages = items.len().div_ceil(size).max(1);
            let shown = (*page).min(pages - 1);
            let here: Vec<&Item> = items.iter().skip(shown * size).take(size).collect();
            let fit = grid::fit(here.len(), width, height, GAP);
            let turn = |to: usize| {
                let page = page.clone();
                Callback::from(move |_: MouseEvent| page.set(to))
            };
            html! {
                <>
                    <div class="grid" style={format!("grid-template-columns:repeat({}, {:.1}px)", fit.columns, fit.width)}>
                        { for here.into_iter().map(|item| tile(props, item, fit.width, fit.height)) }
                    </div>
                    if pages > 1 {
                        <nav class="pages">
                            <button class="round small" disabled={shown == 0} aria-label={texts.previous_page} onclick={turn(shown.saturating_sub(1))}>{ icon(Icon::Previous) }</button>
                            <span>{ format!("{} / {pages}", shown + 1) }</span>
                            <button class="round small" disabled={shown + 1 == pages} aria-label={texts.next_page} onclick={turn(shown + 1)}>{ icon(Icon::Next) }</button>
                        </nav>
                    }
                </>
            }
        }
    };
    html! { <div class="stage-body">{ body }</div> }
}

/// Screens, then the others, then oneself.
fn items(props: &StageProps, texts: &yew_ui::i18n::Texts) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(screen) = &props.screen {
        items.push(Item {
            session: props.own_session,
            kind: MediaKind::Screen,
            name: props.own_name.clone(),
            label: format!("{} {} ({})", texts.screen_of, props.own_name, texts.you),
            picture: Picture::Own(Some(screen.clone())),
            live: true,
            muted: false,
            poor: false,
        });
    }
    let remote = |participant: &Participant, kind| {
        let state = if kind == MediaKind::Screen {
            participant.screen
        } else {
            participant.camera
        };
        let name = participant.display_name.clone();
        Some(Item {
            session: participant.session_id,
            kind,
            label: if kind == MediaKind::Screen {
                format!("{} {name}", texts.screen_of)
            } else {
                name.clone()
            },
            name,
            picture: Picture::Remote(props.call.clone()?),
            live: state == StreamState::Live,
            muted: kind == MediaKind::Video && participant.microphone != StreamState::Live,
            poor: participant.quality == Quality::Poor,
        })
    };
    let screens = props
        .participants
        .iter()
        .filter(|p| p.screen != StreamState::Absent);
    items.extend(screens.filter_map(|p| remote(p, MediaKind::Screen)));
    items.extend(
        props
            .participants
            .iter()
            .filter_map(|p| remote(p, MediaKind::Video)),
    );
    items.push(Item {
        session: props.own_session,
        kind: MediaKind::Video,
        name: props.own_name.clone(),
        label: format!("{} ({})", props.own_name, texts.you),
        picture: Picture::Own(props.camera.clone()),
        live: props.camera.is_some(),
        muted: props.muted,
        poor: false,
    });
    items
}

/// What is shown large: what is pinned, a screen, or in speaker view who speaks.
fn large(props: &StageProps, items: &[Item]) -> Option<usize> {
    let at = |session, kind| {
        items
            .iter()
            .position(|item| item.session == session && item.kind == kind)
    };
    let pinned = props.pinned.and_then(|(session, kind)| at(session, kind));
    let screen = || {
        items.iter().position(|item| {
            item.kind == MediaKind::Screen && matches!(item.picture, Picture::Remote(_))
        })
    };
    let speaker = || {
        let others = |session: &&u64| **session != props.own_session;
        let speaking = props
            .speakers
            .iter()
            .find(others)
            .and_then(|&s| at(s, MediaKind::Video));
        speaking.or((items.len() > 1).then_some(0))
    };
    pinned.or_else(screen).or_else(|| {
        if props.layout == Layout::Speaker {
            speaker()
        } else {
            None
        }
    })
}

/// One large, a strip of others beside it, or below on a narrow screen.
fn around(props: &StageProps, items: &[Item], large: usize, width: f64, height: f64) -> Html {
    let beside = width > height;
    let others: Vec<&Item> = items
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != large)
        .map(|(_, item)| item)
        .take(STRIP_TILES)
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
    let pinned = props.pinned == Some((item.session, item.kind));
    html! {
        <Tile key={format!("{}-{}", item.session, item.kind as i32)} session={item.session} kind={item.kind}
            name={item.name.clone()} label={item.label.clone()} picture={item.picture.clone()} live={item.live}
            muted={item.muted} poor={item.poor} {pinned} {width} {height} visible={props.visible}
            speaking={item.kind == MediaKind::Video && props.speakers.contains(&item.session)}
            pin={props.pin.clone()} />
    }
}
