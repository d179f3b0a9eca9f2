//! Turns by name: one thing at a time for each, and whoever waits for a slow disk holds up few others.

use tokio::sync::{Mutex as Turn, MutexGuard};

/// Names of which one waits for another.
const TURNS: usize = 64;

/// Turns by the first byte of a name.
pub(crate) struct Turns(Vec<Turn<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Turn::new(())).collect())
    }
}

impl Turns {
    /// The turn of a name, until it is dropped.
    pub(crate) async fn of(&self, name: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let first = usize::from(name.first().copied().unwrap_or_default());
        match self.0.get(first % TURNS) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}
