//! A consortium of n members with known keys, that certifies whatever it is asked to.

use crate::oracle::{self, Leaves, Proposal};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::{Digest, PublicKey, Secret, SigningKey};
use salus_proof::TrustPolicy;
use salus_wire::state::CertifiedChain;
use salus_wire::{
    Blob, Genesis, GenesisMember, Header, Height, List, MemberIndex, ProvenItem, StateKey, StateProof,
    StateValue, Terminal, TimeMs, View, encode,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub(crate) struct Consortium {
    keys: Vec<SigningKey>,
    pub(crate) policy: TrustPolicy,
}

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

impl Consortium {
    pub(crate) fn of(members: u8) -> Self {
        Self::named(members, "the vectors' consortium")
    }

    pub(crate) fn named(members: u8, name: &str) -> Self {
        let keys: Vec<SigningKey> = (0..members).map(|n| key(100 + n)).collect();
        let genesis = Genesis {
            name: blob(name.as_bytes()),
            time: TimeMs::new(1_700_000_000_000),
            members: list(keys.iter().map(member).collect()),
        };
        Self { keys, policy: TrustPolicy::from_genesis(&genesis).expect("distinct keys") }
    }

    pub(crate) fn chain(&self) -> [u8; 32] {
        *self.policy.chain().0.as_bytes()
    }

    /// The first `count` signers of a certificate, by rank.
    pub(crate) fn signers(&self, count: usize) -> Vec<(usize, &SigningKey)> {
        let mut keys: Vec<&SigningKey> = self.keys.iter().collect();
        keys.sort_by_key(|key| key.public_key());
        keys.into_iter().enumerate().take(count).collect()
    }

    pub(crate) fn quorum(&self) -> usize {
        usize::from(self.policy.faults().quorum())
    }

    /// A header with this state root.
    pub(crate) fn header(&self, state: Digest) -> Header {
        Header {
            chain: self.policy.chain(),
            height: Height::new(41),
            view: View::new(300),
            parent_view: View::new(299),
            parent: digest(1),
            proposer: MemberIndex::new(0),
            time: TimeMs::new(1_700_000_041_000),
            transactions: digest(2),
            receipts: digest(3),
            state,
        }
    }

    /// `first` and as many `more` headers, each the child of the one before.
    pub(crate) fn headers(&self, first: Header, more: u64) -> Vec<Header> {
        let mut headers = vec![first];
        for _ in 0..more {
            let parent = headers.last().expect("there is a first");
            headers.push(child(parent));
        }
        headers
    }

    /// Votes by the first `count` signers.
    pub(crate) fn votes(&self, proposal: &Proposal, kind: &str, count: usize) -> BTreeMap<usize, [u8; 64]> {
        let message = proposal.message(&self.chain(), kind);
        self.signers(count)
            .into_iter()
            .map(|(rank, key)| (rank, *key.sign_raw(&message).as_bytes()))
            .collect()
    }

    /// The certificate of `header` by the first `count` signers.
    pub(crate) fn certificate(&self, header: &Header, count: usize) -> Vec<u8> {
        let proposal = proposal(header);
        let votes = self.votes(&proposal, "_FINALIZE", count);
        oracle::certificate(&proposal, self.keys.len() as u64, &votes)
    }

    /// The chain of these headers, the last certified by just a quorum.
    pub(crate) fn certified(&self, headers: Vec<Header>) -> CertifiedChain {
        let certificate =
            headers.last().map(|last| self.certificate(last, self.quorum())).unwrap_or_default();
        CertifiedChain { headers: list(headers), certificate: blob(&certificate) }
    }

    /// A proof about `keys` in a state of `entries`, under a header with `more` others after it.
    pub(crate) fn proof(
        &self,
        entries: &BTreeMap<StateKey, StateValue>,
        keys: &[StateKey],
        more: u64,
    ) -> StateProof {
        let leaves = leaves(entries);
        let header = self.header(Digest::from_bytes(oracle::node(&leaves, 0)));
        let items = keys.iter().map(|key| item(&leaves, *key, entries.get(key).cloned())).collect();
        StateProof { chain: self.certified(self.headers(header, more)), items: list(items) }
    }
}

pub(crate) fn proposal(header: &Header) -> Proposal {
    Proposal {
        epoch: 0,
        view: header.view.get(),
        parent_view: header.parent_view.get(),
        payload: *header.digest().as_bytes(),
    }
}

pub(crate) fn child(parent: &Header) -> Header {
    Header {
        height: parent.height.next().expect("room above"),
        view: View::new(parent.view.get() + 2),
        parent_view: parent.view,
        parent: parent.digest(),
        time: parent.time.plus_ms(400),
        ..parent.clone()
    }
}

pub(crate) fn leaves(entries: &BTreeMap<StateKey, StateValue>) -> Leaves {
    entries
        .iter()
        .map(|(key, value)| (*key.path().as_bytes(), Sha256::digest(encode(value)).into()))
        .collect()
}

pub(crate) fn item(leaves: &Leaves, key: StateKey, value: Option<StateValue>) -> ProvenItem {
    let proof = oracle::prove(leaves, key.path().as_bytes());
    let terminal = proof.terminal.map_or(Terminal::Empty, |(path, value)| Terminal::Leaf {
        path: Digest::from_bytes(path),
        value: Digest::from_bytes(value),
    });
    let siblings = proof.siblings.into_iter().map(Digest::from_bytes).collect();
    ProvenItem { key, value, terminal, siblings: list(siblings) }
}

fn member(consensus: &SigningKey) -> GenesisMember {
    let other = PublicKey::from_bytes([7; 32]);
    GenesisMember {
        name: blob(b"member"),
        consensus: consensus.public_key(),
        registrar: other,
        service: other,
        custodian: KemPublicKey::from_slice(&[8; 1216]).expect("the right length"),
        authority: digest(9),
    }
}

pub(crate) fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::new(items).expect("within its limit")
}

pub(crate) fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).expect("within its limit")
}
