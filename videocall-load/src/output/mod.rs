//! Tells how a run goes and went: on the terminal, on a live page, as metrics, JSON, HTML and PDF.

pub mod compare;
pub mod files;
pub mod frame;
pub mod html;
pub mod monitor;
pub mod pdf;
pub mod prometheus;
pub mod session;
mod svg;
pub mod terminal;
pub mod text;
pub mod threshold;
pub mod web;
