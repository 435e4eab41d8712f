//! Shared state with values of the program's own types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::Value;

use super::SharedStore;
use super::operation::{Action, Operation, Outcome, SharedValue};
use crate::error::Error;

/// Time that a call waits for its outcome.
const DEADLINE: Duration = Duration::from_secs(1);

/// Small values that all processes of a server share, and all machines with the same bus. A call waits for a second at most.
///
/// ```
/// use std::time::Duration;
///
/// let server = outside::OutsideHttp::new(("127.0.0.1", 8080))?;
/// let shared = server.shared();
/// shared.set("greeting", &("hello", 3), Some(Duration::from_secs(60)))?;
/// assert_eq!(shared.get::<(String, u8)>("greeting")?, Some(("hello".to_owned(), 3)));
/// assert_eq!(shared.get::<String>("nothing")?, None);
/// assert!(shared.get::<u8>("greeting").is_err());
/// assert_eq!((shared.increment("visits", 2)?, shared.increment("visits", 1)?), (2, 3));
/// assert_eq!(shared.get::<u64>("visits")?, Some(3));
/// assert!(!shared.add("visits", &0, None)?);
/// assert!(shared.delete("visits")?);
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedValues(Arc<dyn SharedStore>);

impl SharedValues {
    /// The values in this store.
    pub fn new(store: Arc<dyn SharedStore>) -> Self {
        Self(store)
    }

    /// The store itself: for locks, rates and schedules.
    pub fn store(&self) -> &Arc<dyn SharedStore> {
        &self.0
    }

    /// The value of a key.
    ///
    /// # Errors
    /// It is of another type, or the store has not answered.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Outcome::Value(value) = self.call(key, Action::Get)? else { return Err(strange()) };
        let value = match value {
            None => return Ok(None),
            Some(SharedValue::Text(text)) => Ok(Value::String(text)),
            Some(SharedValue::Integer(number)) => Ok(number.into()),
            Some(SharedValue::Json(text)) => serde_json::from_str(&text),
            Some(SharedValue::Bytes(bytes)) => Ok(bytes.into()),
        };
        value.and_then(serde_json::from_value).map(Some).map_err(|error| {
            Error::new(format!("the shared value of {key:?} is no {}: {error}", std::any::type_name::<T>()))
        })
    }

    /// Sets the value of a key, with a time to live or for good.
    ///
    /// # Errors
    /// JSON cannot hold it, there is no room, or the store has not answered.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<(), Error> {
        self.call(key, Action::Set { value: stored(value)?, ttl, only_if_absent: false }).map(drop)
    }

    /// The same for a key without a value. Returns whether it was set: of all that try at once, one is.
    ///
    /// # Errors
    /// As [`SharedValues::set`].
    pub fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<bool, Error> {
        self.flag(key, Action::Set { value: stored(value)?, ttl, only_if_absent: true })
    }

    /// Adds to a whole number, which begins at 0. Returns the sum.
    ///
    /// # Errors
    /// The value is no whole number, the sum has more than 64 bits, or the store has not answered.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        match self.call(key, Action::Increment { by, ttl: None })? {
            Outcome::Number(sum) => Ok(sum),
            _ => Err(strange()),
        }
    }

    /// Removes the value of a key. Returns whether there was one.
    ///
    /// # Errors
    /// The store has not answered.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        self.flag(key, Action::Delete)
    }

    fn flag(&self, key: &str, action: Action) -> Result<bool, Error> {
        match self.call(key, action)? {
            Outcome::Flag(flag) => Ok(flag),
            _ => Err(strange()),
        }
    }

    fn call(&self, key: &str, action: Action) -> Result<Outcome, Error> {
        match self.0.call(&Operation { key, action }, DEADLINE) {
            Ok(Outcome::Refused(refusal)) => Err(Error::new(format!("{key:?}: {refusal}"))),
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(Error::new(error.to_string())),
        }
    }
}

/// A text and a whole number are those of programs in any language, which can add to the latter.
fn stored<T: Serialize + ?Sized>(value: &T) -> Result<SharedValue, Error> {
    let failed = |error| Error::new(format!("JSON cannot hold this value: {error}"));
    Ok(match serde_json::to_value(value).map_err(failed)? {
        Value::String(text) => SharedValue::Text(text),
        Value::Number(number) if number.is_i64() => SharedValue::Integer(number.as_i64().unwrap_or(0)),
        value => SharedValue::Json(value.to_string()),
    })
}

fn strange() -> Error {
    Error::new("the store of shared state has given an answer that was not asked for")
}

impl fmt::Debug for SharedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedValues")
    }
}
