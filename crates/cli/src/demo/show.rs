//! What the demo says while it runs: one line for each step, a bar for each long one.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::time::Duration;

/// Speaks to standard error, so that standard output holds the result alone.
pub(crate) struct Show {
    quiet: bool,
}

impl Show {
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A heading.
    pub(crate) fn act(&self, title: &str) {
        self.say(format!("\n── {title}"));
    }

    /// A line.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// A step that held.
    pub(crate) fn held(&self, line: impl Display) {
        self.say(format!("   ✓ {line}"));
    }

    /// A bar over `length` things.
    pub(crate) fn bar(&self, length: u64, what: &'static str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("   {msg:<38} {bar:30} {pos}/{len} {per_sec}");
        let bar = ProgressBar::new(length).with_message(what);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    }

    /// A wheel for something whose length is not known.
    pub(crate) fn wheel(&self, what: &'static str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let wheel = ProgressBar::new_spinner().with_message(what);
        wheel.enable_steady_tick(Duration::from_millis(100));
        wheel
    }
}
