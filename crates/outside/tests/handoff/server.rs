//! A server for several reactors, and the descriptors of this process.

use outside::Config;
use outside::listen::{Address, Listener};
use outside_test_support::server::{Running, each_reactor};

/// With one queue for all reactors if it is shared, else with one for each.
pub(crate) fn start_on(is_shared: bool, configure: impl FnOnce(&mut Config)) -> Running {
    if !is_shared {
        return Running::launch(configure, each_reactor);
    }
    Running::launch(configure, |_| Ok(vec![Listener::bind(&Address::resolve(("127.0.0.1", 0))?, 1024, false)?]))
}

/// Number of descriptors that this process may have; raised as far as allowed.
pub(crate) fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap())
}
