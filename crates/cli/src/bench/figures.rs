//! Figures beside their goals, as a table and as JSON.

use serde_json::{Value, json};
use std::borrow::Cow;

/// One measured figure.
pub(crate) struct Figure {
    what: Cow<'static, str>,
    measured: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

/// What a figure should reach (`docs/performance.md` says why).
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<Cow<'static, str>>,
        measured: f64,
        unit: &'static str,
        goal: Goal,
    ) -> Self {
        Self { what: what.into(), measured, unit, goal: Some(goal) }
    }

    pub(crate) fn plain(what: impl Into<Cow<'static, str>>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, unit, goal: None }
    }

    fn met(&self) -> Option<bool> {
        match self.goal? {
            Goal::AtLeast(goal) => Some(self.measured >= goal),
            Goal::AtMost(goal) => Some(self.measured <= goal),
        }
    }

    pub(crate) fn line(&self) -> String {
        let goal = match self.goal {
            Some(Goal::AtLeast(goal)) => format!(">= {goal}"),
            Some(Goal::AtMost(goal)) => format!("<= {goal}"),
            None => String::new(),
        };
        let mark = match self.met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "",
        };
        format!("{:<58} {:>12.3} {:<10} {:<12} {mark}", self.what, self.measured, self.unit, goal)
    }

    pub(crate) fn value(&self) -> Value {
        let (bound, goal) = match self.goal {
            Some(Goal::AtLeast(goal)) => (Some("at least"), Some(goal)),
            Some(Goal::AtMost(goal)) => (Some("at most"), Some(goal)),
            None => (None, None),
        };
        json!({
            "what": self.what, "measured": self.measured, "unit": self.unit,
            "bound": bound, "goal": goal, "met": self.met(),
        })
    }
}

/// A percentile of durations, in milliseconds; 0 of nothing.
pub(crate) fn quantile_ms(all: &mut [std::time::Duration], q: usize) -> f64 {
    all.sort_unstable();
    let at = all.len().saturating_mul(q) / 100;
    all.get(at.min(all.len().saturating_sub(1))).map_or(0.0, |value| value.as_secs_f64() * 1e3)
}

/// A count as a float, for ratios in a report.
pub(crate) fn real(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
