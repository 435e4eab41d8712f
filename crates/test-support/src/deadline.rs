//! How long the tests wait for anything.

use std::time::Duration;

/// Nothing in these tests takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);
