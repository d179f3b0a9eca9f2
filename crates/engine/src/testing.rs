//! A small consortium for the tests of this crate: fixed keys, never used elsewhere.

use crate::candidate::Candidate;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salus_crypto::Secret;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::SigningKey;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::limits::GRANT_BODY_BYTES;
use salus_wire::rpc::FinalBlock;
use salus_wire::{Blob, Genesis, GenesisMember, GrantTag, List, MemberIndex, TimeMs, Tx, TxBody};

/// A genesis with the keys that speak for it.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    pub(crate) registrars: Vec<SigningKey>,
}

fn key(role: u8, member: u8) -> SigningKey {
    let mut seed = [role; 32];
    seed[0] = member;
    SigningKey::from_seed(Secret::from_bytes(seed))
}

/// `members` organisations.
pub(crate) fn consortium(members: u8) -> World {
    let mut rng = StdRng::from_seed([5; 32]);
    let genesis_members = (0..members).map(|member| GenesisMember {
        name: Blob::new(format!("member {member}").into_bytes()).unwrap(),
        consensus: key(1, member).public_key(),
        registrar: key(2, member).public_key(),
        service: key(3, member).public_key(),
        custodian: KemSecretKey::generate(&mut rng).public_key(),
        authority: Digest::from_bytes([member; 32]),
    });
    let genesis = Genesis {
        name: Blob::new(b"trial".to_vec()).unwrap(),
        time: TimeMs::new(1_000),
        members: List::new(genesis_members.collect()).unwrap(),
    };
    World { genesis, registrars: (0..members).map(|member| key(2, member)).collect() }
}

/// An enrolment by member 0, numbered.
pub(crate) fn enrolment(world: &World, n: u8) -> Tx {
    let body = TxBody::EnrolDevice { enrolment: Digest::from_bytes([n; 32]), member: MemberIndex::new(0) };
    Tx::sign(world.genesis.chain(), body, &world.registrars[0])
}

/// A grant, numbered, signed by its own one-time key.
pub(crate) fn grant(world: &World, n: u8) -> (Tx, GrantTag) {
    let tag = GrantTag(ChainTag::from_digest(Digest::from_bytes([n; 32])));
    let body = Blob::new(vec![n; GRANT_BODY_BYTES]).unwrap();
    let body = TxBody::CommitGrant { tag, commitment: Digest::from_bytes([n; 32]), body };
    (Tx::sign(world.genesis.chain(), body, &key(7, n)), tag)
}

/// Another's grant at the tag of [`grant`].
pub(crate) fn rival_grant(world: &World, n: u8) -> Tx {
    let body = grant(world, n).0.body;
    Tx::sign(world.genesis.chain(), body, &key(8, n))
}

/// The end of the grant with this number.
pub(crate) fn revocation(world: &World, n: u8) -> Tx {
    let tag = grant(world, n).1;
    Tx::sign(world.genesis.chain(), TxBody::RevokeGrant { tag }, &key(7, n))
}

/// A candidate whose header commits to its body, as a lying proposer could make it.
pub(crate) fn sealed(mut block: FinalBlock) -> Candidate {
    let digests: Vec<Digest> = block.block.transactions.iter().map(Tx::digest).collect();
    block.block.header.transactions = transactions_root(&digests);
    block.block.header.receipts = receipts_root(&digests, &block.outcomes);
    Candidate::new(block).unwrap()
}
