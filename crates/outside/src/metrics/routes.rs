//! Numbers for the names of routes: a request carries the number of its route, since comparing it costs nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// RouteNames that get a number of their own; routes beyond share one.
const MOST: usize = 1000;
/// The number of all others, and their name.
const OTHER: u32 = MOST as u32 + 1;
const OTHER_NAME: &str = "_other";

#[derive(Default)]
struct RouteNames {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

static NAMES: Mutex<Option<RouteNames>> = Mutex::new(None);

/// The number of a route's name, from 1 on; the same name has the same number.
pub(crate) fn route_number(name: &str) -> u32 {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(number) = names.numbers.get(name) {
        return *number;
    }
    if names.names.len() >= MOST {
        return OTHER;
    }
    names.names.push(name.into());
    let number = names.names.len() as u32;
    names.numbers.insert(name.into(), number);
    number
}

/// The name of a number; `None` for 0, which stands for no route.
pub(super) fn route_name(number: u32) -> Option<Box<str>> {
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let at = (number as usize).checked_sub(1)?;
    let known = names.as_ref().and_then(|names| names.names.get(at).cloned());
    Some(known.unwrap_or_else(|| OTHER_NAME.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        let (one, other) = (route_number("/metrics-test/one"), route_number("/metrics-test/{id}"));
        assert!(one > 0 && other > 0 && one != other);
        assert_eq!(route_number("/metrics-test/one"), one);
        assert_eq!(route_name(other).as_deref(), Some("/metrics-test/{id}"));
        assert_eq!((route_name(0), route_name(OTHER).as_deref()), (None, Some(OTHER_NAME)));
    }
}
