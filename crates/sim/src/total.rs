//! What a run of many worlds came to.

use salus_sim::run::Outcome;
use std::collections::BTreeMap;

/// What all worlds came to.
#[derive(Default)]
pub(crate) struct Total {
    /// The first seed, and the one after the last.
    pub(crate) range: std::ops::Range<u64>,
    seeds: u64,
    simulated_ms: u64,
    faults: BTreeMap<&'static str, u64>,
    checked: BTreeMap<&'static str, u64>,
    /// What was broken, by seed.
    pub(crate) broken: BTreeMap<u64, String>,
}

impl Total {
    /// One more world.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.simulated_ms += outcome.lasted_ms;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        let Some(summary) = &outcome.summary else { return };
        let (controls, exposed) = outcome.earnest;
        for (what, count) in [
            ("blocks", summary.blocks),
            ("transactions", summary.transactions),
            ("transactions refused in blocks", summary.refused_transactions),
            ("frames kept", summary.kept),
            ("reads", summary.reads),
            ("reads that succeeded", summary.reads_successful),
            ("grants", summary.grants),
            ("withdrawals", summary.withdrawals),
            ("key shares released", summary.releases),
            ("lists proven complete", summary.listings),
            ("restarts", summary.restarts),
            ("sound requests by hand", controls),
            ("liars exposed by their votes", exposed),
        ] {
            *self.checked.entry(what).or_default() += count;
        }
    }

    /// In JSON.
    pub(crate) fn value(&self, seconds: f64) -> serde_json::Value {
        serde_json::json!({
            "from": self.range.start,
            "until": self.range.end,
            "seeds": self.seeds,
            "simulated_hours": self.hours(),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds(),
            "seeds_per_second": self.rate(seconds),
            "seeds_per_cpu_second": self.rate(cpu_seconds()),
            "faults": self.faults,
            "checked": self.checked,
            "broken": self.broken,
        })
    }

    /// In words.
    pub(crate) fn print(&self, seconds: f64) {
        let cpu = cpu_seconds();
        println!(
            "{} seeds from {} to before {}, {:.2} simulated hours",
            self.seeds,
            self.range.start,
            self.range.end,
            self.hours()
        );
        println!(
            "{seconds:.1} s, {:.2} seeds/s; {cpu:.1} CPU-seconds, {:.2} seeds for each",
            self.rate(seconds),
            self.rate(cpu)
        );
        println!("faults injected:");
        self.faults.iter().for_each(|(kind, count)| println!("  {count:>9} {kind}"));
        println!("checked:");
        self.checked.iter().for_each(|(what, count)| println!("  {count:>9} {what}"));
        println!("broken: {}", self.broken.len());
    }

    fn hours(&self) -> f64 {
        std::time::Duration::from_millis(self.simulated_ms).as_secs_f64() / 3_600.0
    }

    fn rate(&self, seconds: f64) -> f64 {
        u32::try_from(self.seeds).map_or(0.0, f64::from) / seconds.max(0.001)
    }
}

/// What this process has used of its cores.
fn cpu_seconds() -> f64 {
    let used = |field: usize, stat: &str| -> u64 {
        stat.split_whitespace().nth(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // A clock tick is a hundredth of a second on Linux.
    f64::from(u32::try_from(used(13, &stat) + used(14, &stat)).unwrap_or(u32::MAX)) / 100.0
}
