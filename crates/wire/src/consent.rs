//! What a grant and an access say once opened. On the ledger both are sealed and padded.

use crate::ids::{GrantTag, PartyId, TimeMs, TimeSpan};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::{PublicKey, Signature};
use std::io::{Error, ErrorKind, Read};

/// A class of data with keys of its own, so that *minimum necessary* (45 CFR 164.502(b)) is a
/// matter of keys and not of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum DataClass {
    /// Single vital signs: heart rate, oxygen saturation, temperature, blood pressure.
    Vitals = 0,
    /// Waveforms: ECG and the like.
    Waveform = 1,
}

/// HL7 v3 `PurposeOfUse` codes that a request may state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Purpose {
    /// `TREAT`: treatment.
    Treatment = 0,
    /// `HPAYMT`: payment.
    Payment = 1,
    /// `HOPERAT`: operations.
    Operations = 2,
    /// `HRESCH`: research.
    Research = 3,
    /// `PATRQT`: the patient asks.
    PatientRequest = 4,
}

/// A set of data classes: bit i stands for the class with discriminant i. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Classes(u8);

/// A set of purposes of use: bit i stands for the purpose with discriminant i. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Purposes(u8);

impl DataClass {
    /// Every class, in order of discriminant.
    pub const ALL: &'static [Self] = &[Self::Vitals, Self::Waveform];

    const fn bit(self) -> u8 {
        match self {
            Self::Vitals => 1,
            Self::Waveform => 1 << 1,
        }
    }
}

impl Purpose {
    /// Every purpose, in order of discriminant.
    pub const ALL: &'static [Self] =
        &[Self::Treatment, Self::Payment, Self::Operations, Self::Research, Self::PatientRequest];

    const fn bit(self) -> u8 {
        match self {
            Self::Treatment => 1,
            Self::Payment => 1 << 1,
            Self::Operations => 1 << 2,
            Self::Research => 1 << 3,
            Self::PatientRequest => 1 << 4,
        }
    }
}

impl Classes {
    const KNOWN: u8 = 0b11;

    /// The set of these classes, or `None` when it would be empty.
    #[must_use]
    pub fn of(classes: &[DataClass]) -> Option<Self> {
        let bits = classes.iter().fold(0, |bits, class| bits | class.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Whether `class` is in the set.
    #[must_use]
    pub const fn contains(self, class: DataClass) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Purposes {
    const KNOWN: u8 = 0b1_1111;

    /// The set of these purposes, or `None` when it would be empty.
    #[must_use]
    pub fn of(purposes: &[Purpose]) -> Option<Self> {
        let bits = purposes.iter().fold(0, |bits, purpose| bits | purpose.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Whether `purpose` is in the set.
    #[must_use]
    pub const fn contains(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() != 0
    }
}

fn read_set<R: Read>(reader: &mut R, known: u8) -> std::io::Result<u8> {
    let bits = u8::deserialize_reader(reader)?;
    if bits == 0 || bits & !known != 0 {
        return Err(Error::new(ErrorKind::InvalidData, "empty set or unknown element"));
    }
    Ok(bits)
}

impl BorshDeserialize for Classes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        read_set(reader, Self::KNOWN).map(Self)
    }
}

impl BorshDeserialize for Purposes {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        read_set(reader, Self::KNOWN).map(Self)
    }
}

/// A patient's permission, as it stands sealed on the ledger. Padded to
/// [`crate::limits::BODY_PLAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// The gateway whose data this opens.
    pub writer: PartyId,
    /// Who may read.
    pub grantee: PartyId,
    /// The key with which the grantee signs intents under this grant.
    pub grantee_key: PublicKey,
    /// What may be read.
    pub classes: Classes,
    /// When it must have been measured.
    pub span: TimeSpan,
    /// For which purposes.
    pub purposes: Purposes,
    /// Block time from which this grant opens nothing.
    pub expires: TimeMs,
    /// The anchor of the one lane on which every access under this grant stands.
    pub lane: ChainAnchor,
    /// The key that commits and may revoke this grant, used for nothing else.
    pub one_time: PublicKey,
}

/// Which key vouches for the person who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Vouching {
    /// The person's own registered key.
    Person = 0,
}

/// What a reader is about to do, as it stands sealed on the ledger before it is done. Padded to
/// [`crate::limits::BODY_PLAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Intent {
    /// What is intended.
    pub terms: IntentTerms,
    /// By the requester's registered key, over the terms.
    pub signature: Signature,
}

/// The signed part of an [`Intent`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IntentTerms {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// Who asks.
    pub requester: PartyId,
    /// Which key vouches for them.
    pub vouching: Vouching,
    /// The grant under which they ask.
    pub grant: GrantTag,
    /// What they ask for.
    pub classes: Classes,
    /// For readings of when.
    pub span: TimeSpan,
    /// For what purpose.
    pub purpose: Purpose,
    /// Milliseconds of block time for which this may be used, at most
    /// [`crate::limits::ACCESS_VALID_MS_MAX`].
    pub valid_ms: u32,
    /// The digest of the ephemeral public key to which custodians re-seal.
    pub reader: Digest,
    /// The key that signs the access record and every request under it.
    pub one_time: PublicKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_refuse_emptiness_and_unknown_bits() {
        assert_eq!(Classes::of(&[]), None);
        assert!(crate::decode::<Classes>(&[0], 1).is_err());
        assert!(crate::decode::<Classes>(&[0b100], 1).is_err());
        assert!(crate::decode::<Purposes>(&[0b10_0000], 1).is_err());
        let both = Classes::of(DataClass::ALL).unwrap();
        let one = Classes::of(&[DataClass::Waveform]).unwrap();
        assert!(both.covers(one) && !one.covers(both));
        assert!(one.contains(DataClass::Waveform) && !one.contains(DataClass::Vitals));
    }

    #[test]
    fn every_known_bit_has_a_member() {
        assert_eq!(Classes::of(DataClass::ALL).unwrap().0, Classes::KNOWN);
        assert_eq!(Purposes::of(Purpose::ALL).unwrap().0, Purposes::KNOWN);
    }
}
