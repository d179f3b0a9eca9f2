//! The words for waiting before something is committed.

use super::recovery::milliseconds;
use crate::within::Release;
use clap::Args;
use std::time::Duration;

/// The longest wait: while it lasts nobody can read under the grant, and no reading of the device is taken.
pub(crate) const WITHIN_MS_MAX: u64 = 3_600_000;

#[derive(Args, Clone, Copy)]
pub(crate) struct WithinArgs {
    /// Commit at a random time within so long (90s, 10m, at most 1h) and not at once, so that the time on the ledger
    /// says less. Until then nothing of it holds.
    #[arg(long, value_name = "TIME", value_parser = bounded)]
    within: Option<u64>,
}

impl WithinArgs {
    /// When what is asked for is committed.
    pub(crate) fn release(self) -> Release {
        self.within.map_or(Release::AtOnce, |ms| Release::Within(Duration::from_millis(ms)))
    }
}

fn bounded(text: &str) -> Result<u64, String> {
    match milliseconds(text)? {
        0 => Err("it must be longer than nothing".to_owned()),
        ms if ms > WITHIN_MS_MAX => Err("at most an hour".to_owned()),
        ms => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command, DeviceCommand, GrantCommand};
    use crate::within::Release;
    use clap::Parser;
    use std::time::Duration;

    const CREATE: &str =
        "salus grant create --dir d --wallet w --out o --to 07070707070707070707070707070707";
    const ENROL: &str = "salus device enrol --dir d --wallet w --out o";

    fn parsed(text: &str) -> Option<Release> {
        match Cli::try_parse_from(text.split(' ')).ok()?.command {
            Command::Grant(GrantCommand::Create { within, .. }) => Some(within.release()),
            Command::Device(DeviceCommand::Enrol { within, .. }) => Some(within.release()),
            _ => None,
        }
    }

    #[test]
    fn grants_and_enrolments_wait_when_told_to_and_for_an_hour_at_most() {
        for command in [CREATE, ENROL] {
            assert_eq!(parsed(command), Some(Release::AtOnce), "{command}");
            for (text, seconds) in [("1s", 1), ("10m", 600), ("60m", 3_600), ("1h", 3_600)] {
                let within = Release::Within(Duration::from_secs(seconds));
                assert_eq!(parsed(&format!("{command} --within {text}")), Some(within), "{command} {text}");
            }
            for text in ["0s", "3601s", "2h", "1d", "10", "-1m", "soon"] {
                assert_eq!(parsed(&format!("{command} --within {text}")), None, "{command} {text}");
            }
        }
    }

    #[test]
    fn what_ends_a_right_and_what_reads_is_never_held_back() {
        for command in [
            "salus grant revoke --dir d --wallet w --index 1",
            "salus device revoke --dir d --device w",
            "salus read --dir d --person p --grant g",
        ] {
            assert!(Cli::try_parse_from(command.split(' ')).is_ok(), "{command}");
            assert!(Cli::try_parse_from(format!("{command} --within 10m").split(' ')).is_err(), "{command}");
        }
    }
}
