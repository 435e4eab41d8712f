//! A build without the feature `bus`: the configuration refuses `bus`, so there is nothing to start.

use std::io;
use std::sync::Arc;

pub(crate) use AbsentBroker as StartedBroker;

use crate::config::BusAddress;
use crate::hub::KeepRules;
use crate::log::Log;
use crate::shared::SharedStore;
use crate::websocket::Topics;

/// A broker that is used.
pub(crate) struct AbsentBroker {
    pub(crate) store: Arc<dyn SharedStore>,
}

impl AbsentBroker {
    pub(crate) fn end(&self) {}

    pub(crate) fn has_ended(&self) -> bool {
        true
    }
}

pub(crate) fn start(_: &BusAddress, _: &KeepRules, _: &Arc<Topics>, _: &Arc<Log>) -> io::Result<AbsentBroker> {
    Err(io::Error::other("this program was built without the feature `bus`"))
}
