//! One picture with the name of whom it shows.

use videocall_client::web::{Call, View};
use videocall_types::ids::MediaKind;
use web_sys::{HtmlVideoElement, MediaStreamTrack};
use yew::prelude::*;

use super::{
    browser,
    devices::show,
    icons::{Icon, icon},
    use_app,
};

/// Where the picture comes from.
#[derive(Clone, PartialEq)]
pub(crate) enum Picture {
    /// Somebody else's, through the call.
    Remote(Call),
    /// One's own.
    Own(Option<MediaStreamTrack>),
}

#[derive(Properties, PartialEq)]
pub(crate) struct TileProps {
    pub(crate) session: u64,
    pub(crate) kind: MediaKind,
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) picture: Picture,
    /// Whether there is a picture to show.
    pub(crate) live: bool,
    pub(crate) muted: bool,
    pub(crate) speaking: bool,
    pub(crate) pinned: bool,
    pub(crate) poor: bool,
    /// Whether the path is too slow for the picture.
    pub(crate) paused: bool,
    pub(crate) visible: bool,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) pin: Option<Callback<(u64, MediaKind)>>,
}

/// Up to two letters for somebody without a picture.
fn initials(name: &str) -> String {
    name.split_whitespace()
        .filter_map(|word| word.chars().next())
        .take(2)
        .collect::<String>()
        .to_uppercase()
}

#[component]
pub(crate) fn Tile(props: &TileProps) -> Html {
    let texts = use_app().texts();
    let video = use_node_ref();
    let view = use_mut_ref(|| None::<View>);
    // Until the first frame is there, and while none comes, one sees whom it will show.
    let has_frame = use_state(|| false);
    let on_frame = {
        let has_frame = has_frame.clone();
        Callback::from(move |_: Event| has_frame.set(true))
    };
    {
        let (video, view, has_frame) = (video.clone(), view.clone(), has_frame.setter());
        let of = (props.session, props.kind, props.live, props.picture.clone());
        use_effect_with(of, move |(session, kind, live, picture)| {
            if let Some(element) = video.cast::<HtmlVideoElement>() {
                match picture {
                    Picture::Own(track) => show(&element, track.as_ref().filter(|_| *live)),
                    Picture::Remote(call) if *live => {
                        *view.borrow_mut() = call.attach(*session, *kind, &element);
                    }
                    Picture::Remote(_) => {}
                }
            }
            move || {
                drop(view.borrow_mut().take());
                has_frame.set(false);
            }
        });
    }
    {
        let of = (
            props.width,
            props.height,
            props.visible,
            props.live,
            props.session,
        );
        use_effect_with(of, move |&(width, height, visible, ..)| {
            if let Some(view) = view.borrow().as_ref() {
                let ratio = browser::window().device_pixel_ratio();
                view.set_size(width, height, ratio, visible);
            }
        });
    }
    let kind = match props.kind {
        MediaKind::Screen => "screen",
        _ => "video",
    };
    let own = matches!(props.picture, Picture::Own(_));
    let classes = classes!(
        "tile",
        kind,
        props.speaking.then_some("speaking"),
        (own && props.kind == MediaKind::Video).then_some("own"),
    );
    let pin = props.pin.as_ref().map(|pin| {
        let of = (props.session, props.kind);
        let onclick = pin.reform(move |_: MouseEvent| of);
        let word = if props.pinned { texts.unpin } else { texts.pin };
        html! {
            <button class="tile-pin" {onclick} aria-label={format!("{word}: {}", props.name)} aria-pressed={props.pinned.to_string()} title={word}>
                { icon(Icon::Pin) }
            </button>
        }
    });
    html! {
        <figure class={classes} data-testid="tile" data-paused={props.paused.then_some("true")} data-session={props.session.to_string()} data-kind={kind} data-name={props.name.clone()}
            style={format!("width:{:.1}px;height:{:.1}px", props.width, props.height)}>
            <video ref={video} autoplay=true playsinline=true muted=true onloadeddata={on_frame} class={(!props.live).then_some("hidden")} />
            if !props.live || props.paused || !*has_frame {
                <div class="cover">
                    <span class="initials" aria-hidden="true">{ initials(&props.name) }</span>
                    if props.live && props.paused {
                        <p class="paused" role="status" title={texts.picture_paused}>{ icon(Icon::Pause) }<span>{ texts.picture_paused }</span></p>
                    }
                </div>
            }
            { pin }
            <figcaption>
                if props.muted {
                    <span class="caption-icon" title={texts.muted}>{ icon(Icon::MicrophoneOff) }<span class="sr-only">{ texts.muted }</span></span>
                }
                if props.poor {
                    <span class="caption-dot poor" title={texts.quality_poor}></span>
                }
                <span class="caption-name">{ &props.label }</span>
            </figcaption>
        </figure>
    }
}
