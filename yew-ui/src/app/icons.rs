//! Icons, drawn for this page on a grid of 24.

use yew::prelude::*;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Icon {
    Microphone,
    MicrophoneOff,
    Camera,
    CameraOff,
    Screen,
    People,
    Grid,
    Speaker,
    Statistics,
    Settings,
    Leave,
    Close,
    Pin,
    Copy,
    Pause,
    Previous,
    Next,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Microphone => {
                "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11v1a6 6 0 0 0 12 0v-1M12 18v3"
            }
            Self::MicrophoneOff => {
                "M15 10V6a3 3 0 0 0-6 0v3m0 3a3 3 0 0 0 4.500 2.600M6 11v1a6 6 0 0 0 9.500 4.900M18 12v-1M12 18v3M4 4l16 16"
            }
            Self::Camera => {
                "M5 7h8a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2zM15 11l6-3v8l-6-3"
            }
            Self::CameraOff => {
                "M9 7h4a2 2 0 0 1 2 2v4M15 15a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2M15 11l6-3v8M4 4l16 16"
            }
            Self::Screen => {
                "M4 5h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM8 21h8M12 14V8m-2.500 2.500L12 8l2.500 2.500"
            }
            Self::People => {
                "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6M18 14.500a6.500 6.500 0 0 1 3.500 5.500"
            }
            Self::Grid => "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
            Self::Speaker => "M4 4h16v10H4zM4 17h4v3H4zM10 17h4v3h-4zM16 17h4v3h-4z",
            Self::Statistics => "M5 20v-6M12 20V4M19 20v-9",
            Self::Settings => {
                "M4 7h9m5 0h2M4 17h2m5 0h9M15 4.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM8 14.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5z"
            }
            Self::Leave => {
                "M3 14c5-5 13-5 18 0l-2.500 3-4-1.500V13c-1.600-.500-3.400-.500-5 0v2.500l-4 1.500z"
            }
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Pin => "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
            Self::Copy => {
                "M9 9h10a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1zM5 15H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v1"
            }
            Self::Pause => "M9 6v12M15 6v12",
            Self::Previous => "M15 5l-7 7 7 7",
            Self::Next => "M9 5l7 7-7 7",
        }
    }
}

/// An icon beside, or in place of, words that are said elsewhere.
pub(crate) fn icon(icon: Icon) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d={icon.path()} />
        </svg>
    }
}
