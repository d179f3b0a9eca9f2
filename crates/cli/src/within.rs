//! Waiting before something is committed, so that its time on the ledger says less of what it belongs to
//! (`docs/linkability.md`, ADR 19). What ends a right and what reads is never held back.

use crate::demo::show::Show;
use indicatif::ProgressBar;
use rand::{Rng, RngExt};
use salus_client::drive::now;
use salus_clinical::fhir::instant;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// When what can wait is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// As soon as it is made.
    AtOnce,
    /// At a random time within so long, one of its own for each transaction.
    Within(Duration),
}

/// The time at which one transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

impl Release {
    /// Draws the time of one transaction that is made at `since`.
    pub(crate) fn draw(self, since: Instant, rng: &mut impl Rng) -> Moment {
        match self {
            Self::AtOnce => Moment(since),
            Self::Within(longest) => {
                let ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
                let after = Duration::from_millis(rng.random_range(0..=ms));
                Moment(since.checked_add(after).unwrap_or(since))
            }
        }
    }

    /// Tells the person until when at most it takes, and what becomes of it when they end it before; a wheel on the
    /// terminal turns until it is dropped. Said when the wait begins; nothing is said when nothing waits.
    pub(crate) fn tell(self, if_ended: &str) -> ProgressBar {
        let Self::Within(longest) = self else { return ProgressBar::hidden() };
        let show = Show::new(false);
        let ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let latest = instant(now().plus_ms(ms)).unwrap_or_default();
        show.say(format!("commits at a random time, at {latest} at the latest"));
        show.say(format!("ctrl-c ends the wait: {if_ended}"));
        show.wheel("waiting")
    }
}

impl Moment {
    /// Whether it is still to come.
    pub(crate) fn is_ahead(self) -> bool {
        self.0 > Instant::now()
    }

    /// Resolves when the time has come.
    pub(crate) async fn come(self) {
        sleep_until(self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn times_are_drawn_from_the_whole_of_what_is_allowed_and_no_more() {
        let (since, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let minute = |n: u64| Moment(since + Duration::from_secs(60 * n));
        let release = Release::Within(Duration::from_secs(600));
        let drawn: Vec<Moment> = (0..1_000).map(|_| release.draw(since, &mut rng)).collect();
        for n in 0..10 {
            let there = drawn.iter().filter(|at| (minute(n)..=minute(n + 1)).contains(*at)).count();
            assert!((60..140).contains(&there), "{there} in minute {n}");
        }
        assert!(drawn.iter().all(|at| (minute(0)..=minute(10)).contains(at)));
        assert_eq!(Release::AtOnce.draw(since, &mut rng), Moment(since));
    }
}
