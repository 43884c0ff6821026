//! What the person chose, kept in the browser.

use yew_ui::i18n::Language;

use super::browser;

/// Colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Theme; 3] = [Self::System, Self::Light, Self::Dark];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn from_key(key: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|theme| theme.key() == key)
            .unwrap_or_default()
    }
}

/// What the person chose.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) language: Option<Language>,
    pub(crate) theme: Theme,
    pub(crate) camera: Option<String>,
    pub(crate) microphone: Option<String>,
    pub(crate) speaker: Option<String>,
    pub(crate) camera_off: bool,
    pub(crate) microphone_off: bool,
}

impl Settings {
    pub(crate) fn load() -> Self {
        Self {
            name: browser::read("name").unwrap_or_default(),
            language: browser::read("language").and_then(|tag| Language::from_tag(&tag)),
            theme: Theme::from_key(&browser::read("theme").unwrap_or_default()),
            camera: device("camera"),
            microphone: device("microphone"),
            speaker: device("speaker"),
            camera_off: browser::read("camera-off").as_deref() == Some("true"),
            microphone_off: browser::read("microphone-off").as_deref() == Some("true"),
        }
    }

    pub(crate) fn save(&self) {
        browser::write("name", &self.name);
        if let Some(language) = self.language {
            browser::write("language", language.tag());
        }
        browser::write("theme", self.theme.key());
        browser::write("camera", self.camera.as_deref().unwrap_or_default());
        browser::write("microphone", self.microphone.as_deref().unwrap_or_default());
        browser::write("speaker", self.speaker.as_deref().unwrap_or_default());
        browser::write("camera-off", if self.camera_off { "true" } else { "false" });
        browser::write(
            "microphone-off",
            if self.microphone_off { "true" } else { "false" },
        );
    }
}

fn device(key: &str) -> Option<String> {
    browser::read(key).filter(|id| !id.is_empty())
}
