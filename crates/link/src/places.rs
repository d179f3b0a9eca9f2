//! A number of places that callers share: connections, requests under way.
//!
//! It promises that nobody takes them all. A caller may have as many as are still free: one caller
//! alone gets half of them, two that want everything a third each, and whoever has none always finds
//! one while any is left. It refuses to know what the places are for, and it has no clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the head of this file. Clones share the places.
pub struct Places<K>(Arc<Mutex<Taken<K>>>);

struct Taken<K> {
    rows: HashMap<K, Row>,
    count: usize,
    most: usize,
    each: usize,
}

/// What one caller has.
#[derive(Clone, Copy, Default)]
struct Row {
    count: usize,
    /// Whether it was refused since it had none.
    refused: bool,
}

/// One place, given back when it is dropped.
pub struct Place<K: Eq + Hash + Copy> {
    places: Places<K>,
    who: K,
}

/// There is no place for this caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Whether the caller hears so for the first time since it had no place: worth a line in the log.
    pub first: bool,
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Copy> Places<K> {
    /// `most` places, of which one caller has at most `each`, and never more than are still free.
    #[must_use]
    pub fn new(most: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { rows: HashMap::new(), count: 0, most, each })))
    }

    /// A place for `who`.
    ///
    /// # Errors
    /// [`Full`] when there is none, or the caller has its share.
    pub fn enter(&self, who: K) -> Result<Place<K>, Full> {
        let most = self.lock().most;
        self.enter_below(who, most)
    }

    /// The same as if there were only `most` places.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter_below(&self, who: K, most: usize) -> Result<Place<K>, Full> {
        let mut taken = self.lock();
        let free = most.min(taken.most).saturating_sub(taken.count);
        let row = taken.rows.get(&who).copied().unwrap_or_default();
        if row.count >= free.min(taken.each) {
            if row.count > 0 {
                taken.rows.insert(who, Row { refused: true, ..row });
            }
            return Err(Full { first: !row.refused });
        }
        taken.rows.insert(who, Row { count: row.count.saturating_add(1), ..row });
        taken.count = taken.count.saturating_add(1);
        Ok(Place { places: self.clone(), who })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        // Counts hold no invariant that a panic in between could break.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.count = taken.count.saturating_sub(1);
        let row = taken.rows.get(&self.who).copied().unwrap_or_default();
        match row.count.saturating_sub(1) {
            0 => taken.rows.remove(&self.who),
            count => taken.rows.insert(self.who, Row { count, ..row }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many places as `who` can get.
    fn fill(places: &Places<u8>, who: u8) -> Vec<Place<u8>> {
        std::iter::from_fn(|| places.enter(who).ok()).collect()
    }

    #[test]
    fn nobody_takes_all_and_a_newcomer_finds_a_place() {
        let places = Places::new(16, usize::MAX);
        let greedy = fill(&places, 1);
        assert_eq!(greedy.len(), 8);
        let second = fill(&places, 2);
        assert_eq!(second.len(), 4);
        let third = fill(&places, 3);
        assert_eq!(third.len(), 2);
        assert_eq!(places.taken(), 14);
        drop((greedy, second, third));
        assert_eq!(places.taken(), 0);
        assert!(places.lock().rows.is_empty());
        assert_eq!(Places::new(1, 1).enter(1_u8).map(drop), Ok(()));
    }

    #[test]
    fn a_caller_has_at_most_its_number_and_hears_once() {
        let places = Places::new(100, 2);
        let mut own = fill(&places, 1);
        assert_eq!(own.len(), 2);
        assert_eq!(places.enter(1).map(drop), Err(Full { first: false }));
        own.pop();
        assert_eq!(places.enter(1).map(drop), Ok(()));
        own.clear();
        let own = [places.enter(1).unwrap(), places.enter(1).unwrap()];
        assert_eq!(places.enter(1).map(drop), Err(Full { first: true }));
        assert_eq!(own.len(), places.taken());
    }

    #[test]
    fn fewer_places_may_be_asked_for_than_there_are() {
        let places = Places::new(100, 100);
        let held: Vec<_> = (0..4).map(|who| places.enter_below(who, 4).unwrap()).collect();
        assert!(places.enter_below(9, 4).is_err() && places.enter(9).is_ok());
        assert_eq!(held.len(), 4);
    }
}
