//! The start page.

use web_sys::{HtmlInputElement, SubmitEvent};
use yew::prelude::*;
use yew_ui::link;

use super::{browser, chrome::Frame, use_app};

#[derive(Properties, PartialEq)]
pub(crate) struct StartProps {
    pub(crate) enter: Callback<String>,
}

#[component]
pub(crate) fn Start(props: &StartProps) -> Html {
    let texts = use_app().texts();
    let code = use_node_ref();
    let wrong = use_state(|| false);
    let new = props
        .enter
        .reform(|_: MouseEvent| link::new_meeting(js_sys::Math::random));
    let join = {
        let (code, wrong, enter) = (code.clone(), wrong.clone(), props.enter.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let Some(input) = code.cast::<HtmlInputElement>() else {
                return;
            };
            match link::meeting_in(&input.value()) {
                Some(meeting) => enter.emit(browser::decode(meeting)),
                None => {
                    wrong.set(true);
                    let _ = input.focus();
                }
            }
        })
    };
    html! {
        <Frame>
            <section class="hero">
                <h1>{ texts.tagline }</h1>
                <p class="lead">{ texts.intro }</p>
                <div class="hero-actions">
                    <button class="button primary large" data-testid="start-new" onclick={new}>{ texts.new_meeting }</button>
                    <form class="code-form" onsubmit={join} novalidate=true>
                        <label class="sr-only" for="code">{ texts.code_label }</label>
                        <input id="code" ref={code} data-testid="join-code" autocomplete="off" spellcheck="false"
                            autocapitalize="none" placeholder={texts.code_label} maxlength="512"
                            aria-invalid={if *wrong { "true" } else { "false" }} aria-describedby="code-error" />
                        <button class="button large" data-testid="join-button">{ texts.join }</button>
                    </form>
                </div>
                <p id="code-error" class="error" role="alert">{ if *wrong { texts.code_wrong } else { "" } }</p>
            </section>
        </Frame>
    }
}
