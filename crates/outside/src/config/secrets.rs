//! The secrets that sign sessions; never shown.

use std::fmt;

use super::value::{SHORTEST_SECRET, Value, is_secret, text};

/// The secrets that sign sessions: the first one signs, all are accepted. Empty: there are no sessions. One has at least 32
/// bytes.
///
/// ```
/// use outside::Config;
///
/// let mut config = Config::default();
/// config.secret =
///     ["a secret of at least thirty-two bytes, the new one", "a secret of at least thirty-two bytes, the old one"].into();
/// assert_eq!(format!("{:?}", config.secret), "[50 bytes, 50 bytes]");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Box<str>>);

impl Secrets {
    /// Bytes of the shortest secret that is accepted.
    pub const SHORTEST: usize = SHORTEST_SECRET;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secrets, the one that signs first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Takes the value of the key `secret`. Returns whether it is allowed.
    pub(super) fn read(value: &Value, into: &mut Self) -> bool {
        if !is_secret(value) {
            return false;
        }
        *into = match value {
            Value::List(values) => values.iter().filter_map(text).collect(),
            value => text(value).into_iter().collect(),
        };
        true
    }
}

impl<T: AsRef<str>> FromIterator<T> for Secrets {
    fn from_iter<I: IntoIterator<Item = T>>(secrets: I) -> Self {
        Self(secrets.into_iter().map(|secret| secret.as_ref().into()).collect())
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Secrets {
    fn from(secrets: [T; N]) -> Self {
        secrets.into_iter().collect()
    }
}

impl From<&str> for Secrets {
    fn from(secret: &str) -> Self {
        [secret].into()
    }
}

impl From<String> for Secrets {
    fn from(secret: String) -> Self {
        [secret].into()
    }
}

/// Shows the number of their bytes alone.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|secret| SecretLength(secret.len()))).finish()
    }
}

/// Shows as "32 bytes".
struct SecretLength(usize);

impl fmt::Debug for SecretLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}
