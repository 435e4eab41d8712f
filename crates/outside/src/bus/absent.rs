//! A build without the feature `bus`: the configuration refuses `bus`, so there is nothing to start.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::config::BusAddress;
use crate::hub::KeepRules;
use crate::log::Log;
use crate::shared::SharedStore;
use crate::websocket::Topics;

pub(crate) fn start(
    _: &BusAddress,
    _: &KeepRules,
    _: &Arc<Topics>,
    _: &Arc<Log>,
    _: &Handle,
) -> io::Result<(Vec<AbortHandle>, Arc<dyn SharedStore>)> {
    Err(io::Error::other("this program was built without the feature `bus`"))
}
