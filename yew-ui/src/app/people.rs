//! Who is here. Of many only the rows that are in view are in the page, so that a thousand people
//! cost no more than twenty.

use std::{ops::Range, rc::Rc};

use videocall_client::web::{Participant, Participants, Quality, StreamState};
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::{panels::QualitySign, use_app};

/// Height of a row in CSS pixels; the style sheet's `.person` is as high.
const ROW: usize = 56;
/// Rows above and below those in view.
const SPARE: usize = 6;
/// With more people one may search for a name.
const MANY: usize = 12;

#[derive(Properties, PartialEq)]
pub(crate) struct PeopleProps {
    pub(crate) own_name: String,
    pub(crate) own_session: u64,
    pub(crate) muted: bool,
    pub(crate) camera_on: bool,
    pub(crate) participants: Participants,
    pub(crate) speakers: Vec<u64>,
}

#[component]
pub(crate) fn People(props: &PeopleProps) -> Html {
    let app = use_app();
    let texts = app.texts();
    let wanted = use_state(String::new);
    let own = Participant {
        session_id: props.own_session,
        display_name: format!("{} ({})", props.own_name, texts.you),
        microphone: state(!props.muted, StreamState::Muted),
        camera: state(props.camera_on, StreamState::Absent),
        ..Participant::default()
    };
    let found = {
        let of = (own, props.participants.clone(), (*wanted).clone());
        use_memo(of, |(own, others, wanted)| find(own, others, wanted))
    };
    let scroll = use_node_ref();
    let (in_view, on_scroll) = use_rows(&scroll, found.len());
    let on_search = {
        let (wanted, scroll) = (wanted.clone(), scroll.clone());
        Callback::from(move |event: InputEvent| {
            if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
                wanted.set(input.value());
            }
            if let Some(scroll) = scroll.cast::<HtmlElement>() {
                scroll.set_scroll_top(0.0);
            }
        })
    };
    let row = |at: usize| {
        let participant = found[at].clone();
        let session = participant.session_id;
        let speaking = props.speakers.contains(&session);
        html! { <Person key={session} {participant} {speaking} {at} total={found.len()} /> }
    };
    html! {
        <div class="people-panel">
            <p class="quiet" data-testid="people-count">{ app.language.people_count(props.participants.len() + 1) }</p>
            if props.participants.len() >= MANY {
                <input type="search" data-testid="find-person" aria-label={texts.find_person} placeholder={texts.find_person} oninput={on_search} />
            }
            <div class="people-scroll" ref={scroll} onscroll={on_scroll} tabindex="0" role="group" aria-label={texts.people}>
                <ul class="people" data-testid="participants-list" style={format!("height:{}px", found.len() * ROW)}>
                    { for in_view.map(row) }
                </ul>
                if found.is_empty() {
                    <p class="quiet" role="status">{ texts.nobody_found }</p>
                }
            </div>
        </div>
    }
}

fn state(live: bool, otherwise: StreamState) -> StreamState {
    if live { StreamState::Live } else { otherwise }
}

/// Those whose name holds the words, oneself first.
fn find(own: &Participant, others: &Participants, words: &str) -> Vec<Rc<Participant>> {
    let words = words.trim().to_lowercase();
    let own = std::iter::once(Rc::new(own.clone()));
    let all = own.chain(others.iter().cloned());
    all.filter(|it| words.is_empty() || it.display_name.to_lowercase().contains(&words))
        .collect()
}

/// The rows of so many that are in view of the element, and what follows its scrolling.
#[hook]
fn use_rows(scroll: &NodeRef, total: usize) -> (Range<usize>, Callback<Event>) {
    let window = use_state(|| (0, 0));
    let measure = {
        let (scroll, window) = (scroll.clone(), window.clone());
        move || {
            if let Some(element) = scroll.cast::<HtmlElement>() {
                let rows = |pixels: f64| (pixels.max(0.0) / ROW as f64) as usize;
                // In steps, so that not every pixel renders anew.
                let first = rows(element.scroll_top()) / SPARE * SPARE;
                let now = (first, rows(element.client_height().into()) + 1);
                if now != *window {
                    window.set(now);
                }
            }
        }
    };
    {
        let measure = measure.clone();
        use_effect(measure);
    }
    let (first, count) = *window;
    let end = (first + count + 2 * SPARE).min(total);
    let start = first.saturating_sub(SPARE).min(end);
    (start..end, Callback::from(move |_: Event| measure()))
}

#[derive(Properties, PartialEq)]
struct PersonProps {
    participant: Rc<Participant>,
    speaking: bool,
    at: usize,
    total: usize,
}

#[component]
fn Person(props: &PersonProps) -> Html {
    let texts = use_app().texts();
    let person = &props.participant;
    let states = [
        props.speaking.then_some(texts.speaking),
        (person.microphone != StreamState::Live).then_some(texts.muted),
        (person.camera != StreamState::Live).then_some(texts.camera_is_off),
        person.away.then_some(texts.away),
    ];
    let states: Vec<&str> = states.into_iter().flatten().collect();
    html! {
        <li class={classes!("person", props.speaking.then_some("speaking"))} style={format!("top:{}px", props.at * ROW)}
            aria-posinset={(props.at + 1).to_string()} aria-setsize={props.total.to_string()}>
            <span class="person-name" title={person.display_name.clone()}>{ &person.display_name }</span>
            <span class="quiet">{ states.join(" · ") }</span>
            if person.quality != Quality::Unknown {
                <QualitySign quality={person.quality} />
            }
        </li>
    }
}
