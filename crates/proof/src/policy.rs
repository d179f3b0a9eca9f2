//! Whom to believe: the consortium and the keys that vote on its blocks.
//!
//! Promises distinct keys and a number of members from which the bounds follow. Refuses to fetch or
//! renew anything: a policy comes from the genesis or from a file that its owner trusts. Members do
//! not change in this version, so one policy serves for every height.

use crate::error::BadPolicy;
use salus_crypto::{Digest, PublicKey};
use salus_wire::{ChainId, Faults, Genesis};
use serde::{Deserialize, Serialize};

/// The version of the text form.
const TEXT_VERSION: u8 = 1;

/// A consortium and the consensus keys of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    chain: ChainId,
    /// In the order of the members.
    members: Vec<PublicKey>,
    /// The same, ascending by their bytes: the order of signers in a certificate.
    signers: Vec<PublicKey>,
    faults: Faults,
}

impl TrustPolicy {
    /// A policy over `members`, the consensus keys in the order of the members.
    ///
    /// # Errors
    /// [`BadPolicy`] for no, too many, or equal keys.
    pub fn new(chain: ChainId, members: Vec<PublicKey>) -> Result<Self, BadPolicy> {
        let faults = Faults::for_members(members.len()).ok_or(BadPolicy::Members)?;
        let mut signers = members.clone();
        signers.sort_unstable();
        if !signers.is_sorted_by(|a, b| a < b) {
            return Err(BadPolicy::SharedKey);
        }
        Ok(Self { chain, members, signers, faults })
    }

    /// The policy that follows from a genesis.
    ///
    /// # Errors
    /// As [`TrustPolicy::new`].
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, BadPolicy> {
        Self::new(genesis.chain(), genesis.members.iter().map(|member| member.consensus).collect())
    }

    /// Reads the text form (`spec/receipt.md`).
    ///
    /// # Errors
    /// [`BadPolicy`] for an unknown or missing entry, another version, bad digits, and as
    /// [`TrustPolicy::new`].
    pub fn from_toml(text: &str) -> Result<Self, BadPolicy> {
        let text: Text = toml::from_str(text).map_err(BadPolicy::Text)?;
        if text.version != TEXT_VERSION {
            return Err(BadPolicy::Version);
        }
        let chain = Digest::from_hex(&text.chain).map_err(|_| BadPolicy::Hex)?;
        let keys: Result<_, _> = text.members.iter().map(|key| PublicKey::from_hex(key)).collect();
        Self::new(ChainId(chain), keys.map_err(|_| BadPolicy::Hex)?)
    }

    /// Writes the text form.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let keys: Vec<String> = self.members.iter().map(|key| format!("    \"{key}\",\n")).collect();
        format!("version = {TEXT_VERSION}\nchain = \"{}\"\nmembers = [\n{}]\n", self.chain.0, keys.concat())
    }

    /// The consortium.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// How many members there are, and how many may lie.
    #[must_use]
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// The consensus keys in the order in which certificates count them.
    pub(crate) fn signers(&self) -> &[PublicKey] {
        &self.signers
    }
}

/// The text form, in which an unknown entry is an error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u8,
    chain: String,
    members: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> TrustPolicy {
        let keys = [3, 1, 2].map(|n| PublicKey::from_bytes([n; 32]));
        TrustPolicy::new(ChainId(Digest::from_bytes([9; 32])), keys.to_vec()).unwrap()
    }

    #[test]
    fn text_round_trips_and_keeps_the_order_of_members() {
        let text = policy().to_toml();
        assert_eq!(TrustPolicy::from_toml(&text), Ok(policy()));
        assert_eq!(policy().signers()[0], PublicKey::from_bytes([1; 32]));
        assert_eq!(policy().members[0], PublicKey::from_bytes([3; 32]));
    }

    #[test]
    fn other_texts_are_refused() {
        let text = policy().to_toml();
        let one = "01".repeat(32);
        for (bad, expected) in [
            (text.replace("version = 1", "version = 2"), "Version"),
            (text.replace("version = 1", ""), "Text"),
            (format!("{text}note = 1\n"), "Text"),
            (text.replace(&one, &one[2..]), "Hex"),
            (text.replace(&one, &"0A".repeat(32)), "Hex"),
            (text.replace(&one, &"03".repeat(32)), "SharedKey"),
            ("version = 1\nchain = \"\"\nmembers = []\n".replace("\"\"", &format!("\"{one}\"")), "Members"),
        ] {
            let error = TrustPolicy::from_toml(&bad).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?} for {bad}");
        }
    }

    #[test]
    fn too_many_members_are_refused() {
        let keys = (0..65_u8).map(|n| PublicKey::from_bytes([n; 32])).collect();
        assert_eq!(TrustPolicy::new(ChainId(Digest::ZERO), keys), Err(BadPolicy::Members));
    }
}
