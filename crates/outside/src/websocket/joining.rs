//! A subscriber that joins a topic behind the messages that it has missed.

use std::fmt;
use std::sync::Arc;

use super::delivery::Delivery;
use super::reader::TopicReader;
use super::shared::{Joining, JoiningConnection, JoiningSubscriber, WebSocketConnection};

impl Joining {
    pub(super) fn connection(connection: WebSocketConnection, topic: Arc<str>, with_ids: bool) -> Self {
        Self(JoiningSubscriber::Connection { connection, topic, with_ids })
    }

    pub(crate) fn reader(reader: Arc<TopicReader>, ticket: u64) -> Self {
        Self(JoiningSubscriber::Reader { reader, ticket })
    }

    pub(super) fn finish(self, topic: &str, missed: &[Delivery<'_>], has_gap: bool) {
        match self.0 {
            JoiningSubscriber::Connection { connection, topic, with_ids } => {
                let missed = missed.iter().map(|delivery| delivery.to_octets(with_ids)).collect();
                connection.put_joining(JoiningConnection {
                    connection: connection.clone(),
                    topic,
                    with_ids,
                    missed,
                    has_gap,
                });
            }
            JoiningSubscriber::Reader { reader, ticket } => reader.push_joined(topic, ticket, missed, has_gap),
        }
    }
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Joining")
    }
}
