//! The paths that load balancers and container platforms ask whether a server lives, and whether it is ready.

use crate::config::Config;
use crate::message::Request;

/// The question of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Whether the event loop turns.
    Live,
    /// Whether new clients are welcome.
    Ready,
}

/// The configured paths.
#[derive(Debug, Default)]
pub(super) struct Probes(Vec<(Box<str>, Probe)>);

impl Probes {
    pub(super) fn of(config: &Config) -> Self {
        let all = [
            (&config.ready_route, Probe::Ready),
            (&config.health_route, Probe::Ready),
            (&config.live_route, Probe::Live),
        ];
        Self(all.into_iter().filter_map(|(path, probe)| Some((path.as_deref()?.into(), probe))).collect())
    }

    /// The question that this request asks; `None` for nearly all.
    #[inline]
    pub(super) fn find(&self, request: &Request) -> Option<Probe> {
        self.0.iter().find(|(path, _)| **path == *request.url()).map(|(_, probe)| *probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    #[test]
    fn paths_and_their_questions() {
        let path = |path: &str| Some(path.to_owned());
        let config = Config {
            ready_route: path("/ready"),
            live_route: path("/live"),
            health_route: path("/up"),
            ..Config::default()
        };
        let asked = |config: &Config, target| {
            let request = Request::from_parts(&RequestParts { target, ..RequestParts::default() }).unwrap();
            Probes::of(config).find(&request)
        };
        for (target, probe) in [
            ("/ready", Some(Probe::Ready)),
            ("/up?x", Some(Probe::Ready)),
            ("/live", Some(Probe::Live)),
            ("/live/", None),
            ("/", None),
        ] {
            assert_eq!(asked(&config, target), probe, "{target}");
        }
        assert_eq!(asked(&Config::default(), "/ready"), None);
    }
}
