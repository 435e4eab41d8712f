//! Opening beneath a folder without a server, for fuzzers and tests of this project: by the kernel and by the walk.
//!
//! Compiled under the feature `testing` only, and no part of the public interface.

use std::fs::File;
use std::path::Path;

use super::folder::below;
use super::open::Patience;
use super::root::Root;
use crate::config::Symlinks;

/// A folder on a route.
#[derive(Debug)]
pub struct Beneath(Root);

impl Beneath {
    /// The folder at this path.
    pub fn new(path: &Path) -> Self {
        Self(Root::new(path.to_owned()))
    }

    /// Opens a decoded path behind the route: by the kernel, if it can, and by the walk. `None` if the path may not be
    /// seen, even if a file is there.
    pub fn open(&self, path: &str, links: Symlinks) -> Option<[Option<File>; 2]> {
        let (relative, _) = below(path.as_bytes())?;
        Some([self.0.open(relative, links, Patience::Any, 0).ok(), self.0.open_by_walk(relative, links).ok()])
    }
}
