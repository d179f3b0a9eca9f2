//! What can go wrong for a reader, and whose fault it is.

use salus_wire::Code;
use salus_wire::ids::MemberIndex;

/// Something a member did, or failed to do, that the read survived or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Who.
    pub member: MemberIndex,
    /// What.
    pub code: Code,
    /// More about it; never patient data.
    pub detail: String,
}

/// Why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A member refused, for a reason no other member will judge differently.
    #[error("{code}: {}", code.what())]
    Refused {
        /// The reason.
        code: Code,
    },
    /// Fewer custodians than the threshold released their share.
    #[error("{released} of the {needed} custodians needed released a key share")]
    TooFewShares {
        /// How many did.
        released: usize,
        /// How many are needed.
        needed: usize,
        /// What each of the others said.
        faults: Vec<Fault>,
    },
    /// Of some epochs too few shares came to say which fragments are theirs, and others may hold more.
    #[error("the fragments of {epochs} epochs cannot be named yet")]
    Unnamed {
        /// How many epochs.
        epochs: usize,
        /// What each custodian did that did not give all.
        faults: Vec<Fault>,
    },
    /// Fewer good fragments than rebuild a segment.
    #[error("too few good fragments of a segment")]
    TooFewFragments {
        /// What each store did.
        faults: Vec<Fault>,
    },
    /// The writer's own commitments contradict each other.
    #[error("the writer's commitments contradict each other: {what}")]
    Writer {
        /// Which.
        what: &'static str,
    },
    /// No member gave a proof that verifies.
    #[error("no member gave a proof that verifies")]
    Unproven {
        /// What each of them did.
        faults: Vec<Fault>,
    },
    /// More members than can lie gave a proof that verifies and is too old.
    #[error("the proofs that members gave are too old, or this machine's clock is wrong")]
    Stale {
        /// What each of them did.
        faults: Vec<Fault>,
    },
    /// No member could be reached.
    #[error("no member could be reached")]
    Unreachable,
    /// An earlier grant of the wallet is not known to be final.
    #[error("an earlier grant of this wallet is not known to be final")]
    GrantPending,
    /// The patient has ordered that everything under this wallet be destroyed.
    #[error("this wallet has ordered that everything under it be destroyed")]
    Erased,
    /// This wallet is to come in the place of another, and has not yet.
    #[error("the recovery of this wallet is not finished")]
    Recovering,
    /// What a guardian or custodian gave is not what was prepared, or not for this case.
    #[error("{what}")]
    Recovery {
        /// Which.
        what: &'static str,
    },
    /// A chain of tags has no tag left.
    #[error("the chain has no tag left")]
    ChainUsedUp,
    /// The caller asked for something a grant does not cover.
    #[error("the request is empty or goes beyond the grant")]
    BeyondGrant,
}

impl ClientError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code } => *code,
            Self::TooFewShares { needed, faults, .. } => {
                common_reason(*needed, faults).unwrap_or(Code::TooFewShares)
            }
            Self::Unnamed { .. } => Code::FragmentsUnnamed,
            Self::TooFewFragments { .. } => Code::TooFewFragments,
            Self::Writer { .. } => Code::WriterFault,
            Self::Unproven { .. } => Code::ProofInvalid,
            Self::Stale { .. } => Code::ProofStale,
            Self::Unreachable => Code::Unreachable,
            Self::Erased => Code::ChainErased,
            Self::Recovery { .. } => Code::RecoveryApproval,
            Self::ChainUsedUp | Self::BeyondGrant | Self::GrantPending | Self::Recovering => Code::Usage,
        }
    }

    /// What each member did, where that is known.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::TooFewShares { faults, .. }
            | Self::Unnamed { faults, .. }
            | Self::TooFewFragments { faults }
            | Self::Unproven { faults }
            | Self::Stale { faults } => faults,
            _ => &[],
        }
    }
}

/// The reason that more custodians give than can lie, when it is the caller's doing.
fn common_reason(needed: usize, faults: &[Fault]) -> Option<Code> {
    let mut codes: Vec<Code> = faults.iter().map(|fault| fault.code).collect();
    codes.sort_unstable();
    let most = codes.chunk_by(|a, b| a == b).max_by_key(|run| run.len())?;
    let code = *most.first()?;
    // t = 2f + 1
    (most.len() > needed / 2 && code.blame() == salus_wire::Blame::Caller).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(codes: &[Code]) -> Vec<Fault> {
        let fault = |code: &Code| Fault { member: MemberIndex::new(0), code: *code, detail: String::new() };
        codes.iter().map(fault).collect()
    }

    #[test]
    fn the_reason_that_more_custodians_give_than_can_lie_is_the_reason_shown() {
        let of = |codes: &[Code]| {
            ClientError::TooFewShares { released: 0, needed: 3, faults: faults(codes) }.code()
        };
        assert_eq!(of(&[Code::GrantRevoked, Code::GrantRevoked, Code::Unreachable]), Code::GrantRevoked);
        assert_eq!(of(&[Code::Unreachable, Code::Unreachable]), Code::TooFewShares);
        assert_eq!(of(&[Code::GrantRevoked, Code::NoGrant]), Code::TooFewShares);
        assert_eq!(of(&[Code::GrantRevoked]), Code::TooFewShares);
        assert_eq!(of(&[]), Code::TooFewShares);
    }
}
