//! `analyze`: what is wrong with a data set, before anything is trained on it.

mod bounds;
mod pairs;
mod sad;
mod stack;
