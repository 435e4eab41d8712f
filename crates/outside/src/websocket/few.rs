//! A queue that usually is empty or holds one item, which needs no memory of its own.

use std::collections::VecDeque;

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    /// The items behind the first; `None` while there are none.
    #[expect(clippy::box_collection, reason = "it is there for moments, and its room would be there for ever")]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: None }
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        match self.first {
            None => self.first = Some(item),
            Some(_) => self.rest.get_or_insert_default().push_back(item),
        }
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let popped = self.first.take();
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
            if rest.is_empty() {
                self.rest = None;
            }
        }
        popped
    }

    /// The only item; `None` if there are others.
    pub(super) fn pop_only(&mut self) -> Option<T> {
        if self.rest.is_some() {
            return None;
        }
        self.first.take()
    }

    /// Takes the first item, if it meets the condition; otherwise the oldest further item that does.
    pub(super) fn pop_if(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        if wanted(self.first.as_ref()?) {
            return self.pop();
        }
        let rest = self.rest.as_mut()?;
        let place = rest.iter().position(wanted)?;
        rest.remove(place)
    }

    /// Keeps the items of which this is true, in their order.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        if let Some(rest) = &mut self.rest {
            rest.retain(&mut wanted);
        }
        if self.first.as_ref().is_some_and(|first| !wanted(first)) {
            self.pop();
        }
    }

    pub(crate) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn few(count: u32) -> Few<u32> {
        let mut few = Few::default();
        (1..=count).for_each(|number| few.push(number));
        few
    }

    fn drained(mut few: Few<u32>) -> Vec<u32> {
        iter::from_fn(|| few.pop()).collect()
    }

    #[test]
    fn in_order() {
        for count in 0..5 {
            let few = few(count);
            assert_eq!((few.len(), few.is_empty()), (count as usize, count == 0));
            assert_eq!(few.iter().copied().collect::<Vec<_>>(), drained(few));
        }
    }

    #[test]
    fn some_may_leave_from_the_middle() {
        let mut all = few(4);
        assert_eq!(
            (all.pop_if(|&number| number > 1), all.pop_if(|_| true), all.pop_if(|_| false)),
            (Some(2), Some(1), None)
        );
        all.push(5);
        assert_eq!(drained(all), [3, 4, 5]);
        for (odd, kept) in [(1, &[1, 3, 5][..]), (0, &[2, 4])] {
            let mut some = few(5);
            some.retain(|number| number % 2 == odd);
            assert_eq!(drained(some), kept);
        }
        assert_eq!(few(0).pop_if(|_| true), None);
        assert_eq!([few(0), few(1), few(2)].map(|mut few| few.pop_only()), [None, Some(1), None]);
    }
}
