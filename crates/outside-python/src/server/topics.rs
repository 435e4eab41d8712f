//! The topics of a server for event streams and for functions of the program that listen.

use pyo3::prelude::*;

use crate::server::outside_http::OutsideHttp;
use crate::websocket::message_id::message_id;
use crate::websocket::topic_reader::TopicReader;

/// Hands the messages of a topic to a reader.
#[pyfunction]
pub(crate) fn _read_topic(server: &OutsideHttp, topic: &str, reader: &TopicReader) -> PyResult<()> {
    server.server()?.engine.read_topic(topic, &reader.0);
    Ok(())
}

/// The opposite.
#[pyfunction]
pub(crate) fn _stop_reading_topic(server: &OutsideHttp, topic: &str, reader: &TopicReader) -> PyResult<()> {
    server.server()?.engine.stop_reading_topic(topic, &reader.0);
    Ok(())
}

/// One more connection, or one less, has subscribed by way of a reader.
#[pyfunction]
pub(crate) fn _count_subscriber(server: &OutsideHttp, topic: &str, has_come: bool) -> PyResult<()> {
    server.server()?.engine.count_subscriber(topic, has_come);
    Ok(())
}

/// Has the reader get the kept messages after this one, under a ticket.
#[pyfunction]
pub(crate) fn _read_missed(
    server: &OutsideHttp,
    topic: &str,
    after: &Bound<'_, PyAny>,
    reader: &TopicReader,
    ticket: u64,
) -> PyResult<()> {
    server.server()?.engine.read_missed(topic, message_id(after)?, &reader.0, ticket);
    Ok(())
}
