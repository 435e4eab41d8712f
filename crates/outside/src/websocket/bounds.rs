//! What the topics of one run may take, whatever clients subscribe to.

/// The bounds, and who is told when one of them bites.
pub(crate) struct Bounds {
    /// Topics of one connection.
    pub(super) max_topics: usize,
    complaints: Option<Box<Complain>>,
}

/// Is told the key of the configuration that sets a bound, and what has met it.
type Complain = dyn Fn(&'static str, &str) + Send + Sync;

/// For connections without a server.
impl Default for Bounds {
    fn default() -> Self {
        Self { max_topics: 1024, complaints: None }
    }
}

impl Bounds {
    pub(crate) fn new(max_topics: usize, complain: impl Fn(&'static str, &str) + Send + Sync + 'static) -> Self {
        Self { max_topics, complaints: Some(Box::new(complain)) }
    }

    pub(super) fn complain(&self, key: &'static str, text: &str) {
        if let Some(complain) = &self.complaints {
            complain(key, text);
        }
    }
}
