//! The pages and how one leads to another.

mod banner;
mod browser;
mod call;
mod chrome;
mod controls;
mod devices;
mod icons;
mod left;
mod panels;
mod people;
mod prejoin;
mod settings;
mod stage;
mod start;
mod statistics;
mod support;
mod tile;

use std::rc::Rc;

use wasm_bindgen::prelude::Closure;
use web_sys::PopStateEvent;
use yew::prelude::*;
use yew_ui::{i18n::Language, link::Route};

use self::{
    call::CallPage,
    devices::LocalTracks,
    left::{LeftPage, Why},
    prejoin::PreJoin,
    settings::{Settings, Theme},
    start::Start,
};

/// Which page is shown.
#[derive(Clone, PartialEq)]
enum Page {
    Start,
    PreJoin {
        meeting: String,
    },
    Call {
        meeting: String,
        name: String,
        tracks: LocalTracks,
    },
    Left {
        meeting: String,
        why: Why,
    },
}

/// What every component may need of the whole.
#[derive(Clone, PartialEq)]
pub(crate) struct Context {
    pub(crate) language: Language,
    pub(crate) settings: Rc<Settings>,
    pub(crate) change: Callback<Settings>,
}

impl Context {
    pub(crate) fn texts(&self) -> &'static yew_ui::i18n::Texts {
        self.language.texts()
    }
}

/// The context of a component.
#[hook]
pub(crate) fn use_app() -> Context {
    use_context::<Context>().expect("every component is within App")
}

pub(crate) fn run() {
    console_error_panic_hook::set_once();
    let Some(root) = browser::element("app") else {
        return;
    };
    if let Some(loading) = browser::element("loading") {
        loading.remove();
    }
    yew::Renderer::<App>::with_root(root).render();
}

fn page_of_address(settings: &mut Settings) -> Page {
    match yew_ui::link::route(&browser::path_segments()) {
        Route::Start => Page::Start,
        Route::Meeting { name, meeting } => {
            if let Some(name) = name {
                settings.name = name;
            }
            Page::PreJoin { meeting }
        }
    }
}

#[component]
fn App() -> Html {
    let settings = use_state(|| {
        let mut settings = Settings::load();
        let page = page_of_address(&mut settings);
        (Rc::new(settings), page)
    });
    let (initial, first_page) = (*settings).clone();
    let current = use_state(|| initial);
    let page = use_state(|| first_page);

    {
        let (page, current) = (page.clone(), current.clone());
        use_effect_with((), move |()| {
            let listener = Closure::<dyn FnMut(PopStateEvent)>::new(move |_| {
                page.set(page_of_address(&mut (**current).clone()));
            });
            browser::on_window("popstate", listener.as_ref());
            move || drop(listener)
        });
    }
    let language = current.language.unwrap_or_else(browser::language);
    {
        let theme = current.theme;
        use_effect_with((language, theme), |(language, theme)| {
            browser::set_root_attribute("lang", language.tag());
            browser::set_root_attribute("data-theme", theme.attribute());
        });
    }
    let change = {
        let current = current.clone();
        Callback::from(move |settings: Settings| {
            settings.save();
            current.set(Rc::new(settings));
        })
    };
    let context = Context {
        language,
        settings: (*current).clone(),
        change,
    };
    let go = {
        let page = page.clone();
        Callback::from(move |next: Page| {
            browser::push_path(&match &next {
                Page::Start => "/".to_owned(),
                Page::PreJoin { meeting }
                | Page::Call { meeting, .. }
                | Page::Left { meeting, .. } => browser::meeting_path(meeting),
            });
            page.set(next);
        })
    };
    support::tell_page(match &*page {
        Page::Start => "start",
        Page::PreJoin { .. } => "prejoin",
        Page::Call { .. } => "call",
        Page::Left { .. } => "left",
    });
    let shown = match (*page).clone() {
        Page::Start => {
            let enter = go.reform(|meeting| Page::PreJoin { meeting });
            html! { <Start {enter} /> }
        }
        Page::PreJoin { meeting } => {
            let back = go.reform(|()| Page::Start);
            let of = meeting.clone();
            let join = go.reform(move |(name, tracks)| Page::Call {
                meeting: of.clone(),
                name,
                tracks,
            });
            html! { <PreJoin {meeting} {join} {back} /> }
        }
        Page::Call {
            meeting,
            name,
            tracks,
        } => {
            let of = meeting.clone();
            let leave = go.reform(move |why| Page::Left {
                meeting: of.clone(),
                why,
            });
            html! { <CallPage {meeting} {name} {tracks} {leave} /> }
        }
        Page::Left { meeting, why } => {
            let home = go.reform(|()| Page::Start);
            let rejoin = go.reform(move |()| Page::PreJoin {
                meeting: meeting.clone(),
            });
            html! { <LeftPage {why} {rejoin} {home} /> }
        }
    };
    html! { <ContextProvider<Context> context={context}>{ shown }</ContextProvider<Context>> }
}

impl Theme {
    fn attribute(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}
