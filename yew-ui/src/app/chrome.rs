//! What stands around the quiet pages: the brand, language and colours.

use wasm_bindgen::JsCast;
use web_sys::HtmlSelectElement;
use yew::prelude::*;
use yew_ui::i18n::Language;

use super::{settings::Theme, use_app};

#[derive(Properties, PartialEq)]
pub(crate) struct FrameProps {
    pub(crate) children: Html,
}

pub(crate) fn value_of(event: &Event) -> String {
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlSelectElement>().ok());
    target.map(|select| select.value()).unwrap_or_default()
}

#[component]
pub(crate) fn Preferences() -> Html {
    let app = use_app();
    let texts = app.texts();
    let on_language = {
        let app = app.clone();
        Callback::from(move |event: Event| {
            let mut settings = (*app.settings).clone();
            settings.language = Language::from_tag(&value_of(&event));
            app.change.emit(settings);
        })
    };
    let on_theme = {
        let app = app.clone();
        Callback::from(move |event: Event| {
            let mut settings = (*app.settings).clone();
            settings.theme = Theme::from_key(&value_of(&event));
            app.change.emit(settings);
        })
    };
    let theme_name = |theme| match theme {
        Theme::System => texts.theme_system,
        Theme::Light => texts.theme_light,
        Theme::Dark => texts.theme_dark,
    };
    html! {
        <div class="preferences">
            <label><span class="sr-only">{ texts.language }</span>
                <select onchange={on_language} aria-label={texts.language}>
                    { for Language::ALL.into_iter().map(|language| html! {
                        <option value={language.tag()} selected={language == app.language} lang={language.tag()}>{ language.name() }</option>
                    }) }
                </select>
            </label>
            <label><span class="sr-only">{ texts.theme }</span>
                <select onchange={on_theme} aria-label={texts.theme}>
                    { for Theme::ALL.into_iter().map(|theme| html! {
                        <option value={theme.key()} selected={theme == app.settings.theme}>{ theme_name(theme) }</option>
                    }) }
                </select>
            </label>
        </div>
    }
}

#[component]
pub(crate) fn Frame(props: &FrameProps) -> Html {
    let texts = use_app().texts();
    html! {
        <div class="frame">
            <header class="frame-header">
                <a class="brand" href="/"><img src="/icon.svg" alt="" width="28" height="28" /><span>{ texts.app_name }</span></a>
                <Preferences />
            </header>
            <main class="frame-main">{ props.children.clone() }</main>
        </div>
    }
}
