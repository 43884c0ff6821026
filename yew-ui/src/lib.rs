//! What the front end decides without a browser: how tiles fill a stage, what a pasted code means,
//! in which order people are shown, which words are said, and what is told of people who come and go.

pub mod announce;
#[cfg(test)]
mod contrast;
pub mod grid;
pub mod i18n;
pub mod link;
pub mod order;
pub mod reason;
