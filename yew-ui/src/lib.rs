//! What the front end decides without a browser: how tiles fill a stage, what a pasted code means,
//! which words are said.

pub mod grid;
pub mod i18n;
pub mod link;
