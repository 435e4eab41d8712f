//! Routes with patterns without a server, for fuzzers and tests of this project.
//!
//! Compiled under the feature `testing` only, and no part of the public interface.

use super::tree::{Found, Tree, WantedPath};
use crate::message::{Parameter, Request};

/// Patterns, each with a method and its number.
#[derive(Debug, Default)]
pub struct Patterns(Tree<usize>);

/// The pattern that matches.
#[derive(Debug, PartialEq)]
pub enum TestAnswer {
    /// No pattern.
    Nothing,
    /// The pattern of this number, with the values of its parameters.
    Route(usize, Vec<Parameter>),
    /// No pattern for this method; the methods that there are.
    Methods(Vec<String>),
}

impl Patterns {
    /// Adds a pattern. Returns whether it was accepted.
    pub fn add(&mut self, method: &str, pattern: &str, number: usize) -> bool {
        self.0.add(pattern, &[method], String::new(), number).is_ok()
    }

    /// The pattern for a request.
    pub fn find(&self, request: &Request) -> TestAnswer {
        match self.0.find(WantedPath { route: request.route(), url: request.url() }, request.method()) {
            Found::Nothing => TestAnswer::Nothing,
            Found::Route(entry, values) => TestAnswer::Route(entry.what, values),
            Found::Methods(methods, _) => TestAnswer::Methods(methods.into_iter().map(str::to_owned).collect()),
        }
    }
}
