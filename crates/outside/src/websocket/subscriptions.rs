//! The topics that one connection has subscribed to: a bounded number of names, with look-up in constant time.

use std::collections::HashSet;
use std::sync::Arc;

/// The names. Most connections have one or two, and one without any needs no table.
pub(super) struct Subscriptions {
    names: Names,
    /// The part of the bound that they use.
    weight: usize,
}

enum Names {
    Few(Box<[Arc<str>]>),
    #[expect(clippy::box_collection, reason = "few connections have so many, and its room would be in each")]
    Many(Box<HashSet<Arc<str>>>),
}

/// Number of names from which they are kept in a table.
const FEW: usize = 8;
/// Bytes of a name that count as one name.
const LENGTH: usize = 256;

/// The result of adding a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    New(Arc<str>),
    KnownHeader,
    TooMany,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self { names: Names::Few(Box::default()), weight: 0 }
    }
}

impl Subscriptions {
    pub(super) fn add(&mut self, name: &str, most: usize) -> Added {
        if self.contains(name) {
            return Added::KnownHeader;
        }
        if self.weight + weight(name) > most {
            return Added::TooMany;
        }
        self.weight += weight(name);
        let new: Arc<str> = name.into();
        match &mut self.names {
            Names::Few(few) if few.len() < FEW => {
                *few = std::mem::take(few).into_iter().chain([Arc::clone(&new)]).collect();
            }
            Names::Few(few) => {
                let all = std::mem::take(few).into_iter().chain([Arc::clone(&new)]);
                self.names = Names::Many(Box::new(all.collect()));
            }
            Names::Many(many) => drop(many.insert(Arc::clone(&new))),
        }
        Added::New(new)
    }

    /// Removes a name. Returns whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        self.weight -= weight(name);
        match &mut self.names {
            Names::Few(few) => *few = std::mem::take(few).into_iter().filter(|known| **known != *name).collect(),
            Names::Many(many) => drop(many.remove(name)),
        }
        if self.weight == 0 {
            *self = Self::default();
        }
        true
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match &self.names {
            Names::Few(few) => few.iter().any(|known| **known == *name),
            Names::Many(many) => many.contains(name),
        }
    }

    /// All names.
    pub(super) fn into_names(self) -> Box<[Arc<str>]> {
        match self.names {
            Names::Few(few) => few,
            Names::Many(many) => many.into_iter().collect(),
        }
    }
}

fn weight(name: &str) -> usize {
    1 + name.len() / LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_names() {
        let mut all = Subscriptions::default();
        for most in 1..40 {
            assert_eq!(all.add(&most.to_string(), most - 1), Added::TooMany);
            assert!(matches!(all.add(&most.to_string(), most), Added::New(_)));
            assert_eq!(all.add(&most.to_string(), 0), Added::KnownHeader);
            assert!((1..=most).all(|number| all.contains(&number.to_string())) && !all.contains("0"));
        }
        all.remove("0");
        for number in (1..40).step_by(2) {
            all.remove(&number.to_string());
        }
        assert_eq!((all.weight, all.contains("2"), all.contains("3")), (19, true, false));
        assert_eq!(all.into_names().len(), 19);
    }

    #[test]
    fn a_long_name_counts_as_several() {
        let mut all = Subscriptions::default();
        let long = "x".repeat(1024);
        assert_eq!(all.add(&long, 4), Added::TooMany);
        assert!(matches!(all.add(&long, 5), Added::New(_)));
        all.remove(&long);
        assert_eq!(all.weight, 0);
    }
}
