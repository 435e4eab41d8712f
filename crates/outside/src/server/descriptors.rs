//! How many descriptors this process may open: as many as the system lets it have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. The soft one is low for the sake of programs that call `select()` (1,024), which a
/// server of many connections does not; children inherit what is set here.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it is refused, the bounds that follow from the limit are those of the lower one.
        let _stays_as_it_is = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
