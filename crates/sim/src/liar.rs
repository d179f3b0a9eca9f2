//! Members that lie: what they answer in place of the truth.

use crate::colluder;
use crate::disk::lock;
use crate::keys::signing;
use crate::member::Life;
use crate::world::World;
use rand::RngExt;
use salus_crypto::digest::Digest;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_link::Subject;
use salus_wire::rpc::{Committed, Refusal, Request, Response};
use salus_wire::state::{CertifiedChain, Tip};
use salus_wire::{
    Blob, Code, Header, Height, List, MemberIndex, Outcome, ProvenItem, StateKey, StateProof, Terminal, View,
    encode, namespaces,
};

/// What a liar says; `None` is silence.
pub async fn answer(
    world: &World,
    member: MemberIndex,
    life: &Life,
    subject: Subject,
    request: Request,
) -> Option<Response> {
    if let (true, Request::Release(request)) = (world.plan.colluding, &request)
        && lock(&world.dice).random_range(0..10) < 8
    {
        return colluder::release(world, member, life, request).await;
    }
    let mood: u8 = lock(&world.dice).random_range(0..10);
    // Half of the time it behaves, or nobody would talk to it.
    if mood < 4 {
        return Some(life.door.answer(subject, request).await);
    }
    world.fault("lie");
    // In some worlds they have agreed on a ledger that holds nothing.
    if world.seed.is_multiple_of(3) {
        match &request {
            Request::Read(_) => {
                let truth = life.door.answer(subject, request).await;
                return Some(twist(world, member, truth));
            }
            Request::Prove(keys) => return Some(Response::Proof(Box::new(nothing(world, life, keys)))),
            _ => {}
        }
    }
    match (mood, &request) {
        (4, _) => None,
        (5, _) => Some(refuse(world)),
        (6, Request::Submit(_)) => Some(committed(life, Outcome::Applied)),
        (7, Request::Submit(_)) => Some(committed(life, Outcome::Refused(Code::AlreadyExists))),
        (8, Request::Prove(keys)) => Some(Response::Proof(Box::new(nothing(world, life, keys)))),
        (9, Request::Prove(_)) => Some(stale(world, member, life, subject, request).await),
        _ => {
            let truth = life.door.answer(subject, request).await;
            Some(twist(world, member, truth))
        }
    }
}

/// What it truly proved when it was asked the same for the first time.
async fn stale(
    world: &World,
    member: MemberIndex,
    life: &Life,
    subject: Subject,
    request: Request,
) -> Response {
    let asked = encode(&request);
    let first = lock(&world.seat(member).proven).get(&asked).cloned();
    if let Some(first) = first {
        world.fault("stale proof");
        return Response::Proof(Box::new(first));
    }
    let truth = life.door.answer(subject, request).await;
    if let Response::Proof(proof) = &truth {
        lock(&world.seat(member).proven).insert(asked, (**proof).clone());
    }
    truth
}

fn refuse(world: &World) -> Response {
    let codes = [Code::AlreadyExists, Code::Revoked, Code::NotFound, Code::NotReady, Code::GrantRevoked];
    let at = lock(&world.dice).random_range(0..codes.len());
    let code = codes.get(at).copied().unwrap_or(Code::Internal);
    Response::Refused(Refusal { code, retry_after_ms: 0, detail: Blob::new(Vec::new()).expect("short") })
}

/// Says that a transaction is final, without having looked at it.
fn committed(life: &Life, outcome: Outcome) -> Response {
    let head = life.door.engine.head();
    Response::Committed(Committed { at: Tip { height: head.height, time: head.time }, outcome })
}

/// A proof that the ledger is empty, certified by all who lie.
fn nothing(world: &World, life: &Life, keys: &[StateKey]) -> StateProof {
    let head = life.door.engine.head();
    let (height, time) = (head.height.next().unwrap_or(head.height), head.time.plus_ms(1));
    let header = Header {
        chain: world.cast.chain,
        height,
        view: View::new(height.get() + 1),
        parent_view: View::new(height.get()),
        parent: head.digest,
        proposer: MemberIndex::new(0),
        time,
        transactions: Digest::ZERO,
        receipts: Digest::ZERO,
        state: Digest::ZERO,
    };
    let certificate = Blob::new(certificate(world, &header)).expect("short");
    let chain = CertifiedChain { headers: List::new(vec![header]).expect("one"), certificate };
    let absent = |key: &StateKey| ProvenItem {
        key: *key,
        value: None,
        terminal: Terminal::Empty,
        siblings: List::empty(),
    };
    let items = keys.iter().map(absent).collect();
    StateProof { chain, items: List::new(items).expect("as many as were asked for") }
}

/// As `spec/certificate.md` says, but by the liars' votes alone.
fn certificate(world: &World, header: &Header) -> Vec<u8> {
    let chain = world.cast.chain;
    let mut proposal = varint(0);
    proposal.extend(varint(header.view.get()));
    proposal.extend(varint(header.parent_view.get()));
    proposal.extend(header.digest().as_bytes());
    let namespace = [namespaces::FINALITY.as_str().as_bytes(), chain.0.as_bytes(), b"_FINALIZE"].concat();
    let length = varint(u64::try_from(namespace.len()).expect("short"));
    let message = [length, namespace, proposal.clone()].concat();
    let mut signers: Vec<PublicKey> = world.cast.genesis.members.iter().map(|one| one.consensus).collect();
    signers.sort_unstable();
    let mut votes: Vec<(usize, SigningKey)> = world
        .liars
        .iter()
        .map(|liar| signing(*world.keys(*liar).consensus.danger_expose()))
        .filter_map(|key| Some((signers.iter().position(|one| *one == key.public_key())?, key)))
        .collect();
    votes.sort_unstable_by_key(|(rank, _)| *rank);
    let bits = votes.iter().fold(0_u64, |bits, (rank, _)| bits | 1 << rank);
    let mut certificate = proposal;
    certificate.extend(u64::from(world.cast.faults.members()).to_be_bytes());
    certificate.extend(bits.to_le_bytes().iter().take(signers.len().div_ceil(8)));
    certificate.extend(varint(u64::try_from(votes.len()).expect("few")));
    for (_, key) in votes {
        certificate.extend(key.sign_raw(&message).as_bytes());
    }
    certificate
}

fn varint(value: u64) -> Vec<u8> {
    let low = u8::try_from(value % 0x80).expect("small");
    if value < 0x80 { vec![low] } else { [vec![low | 0x80], varint(value / 0x80)].concat() }
}

/// Changes what it was asked for by a bit, or by more.
fn twist(world: &World, member: MemberIndex, truth: Response) -> Response {
    let mut dice = lock(&world.dice);
    let mut flip = |bytes: &mut [u8]| {
        if !bytes.is_empty() {
            let at = dice.random_range(0..bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.random_range(0..8);
            }
        }
    };
    match truth {
        Response::Fragment(mut fetched) => {
            let mut bytes = fetched.fragment.to_vec();
            flip(&mut bytes);
            fetched.fragment = Blob::new(bytes).expect("as long as before");
            Response::Fragment(fetched)
        }
        Response::Released(mut released) => {
            released.remaining = released.remaining.wrapping_add(1);
            Response::Released(released)
        }
        Response::Held(mut held) => {
            held.store = MemberIndex::new(member.get().wrapping_add(1));
            Response::Held(held)
        }
        Response::Values(mut values) => {
            let none = values.values.iter().map(|_| None).collect();
            values.values = List::new(none).expect("as many as before");
            values.at.height = Height::new(values.at.height.get().saturating_add(5));
            Response::Values(values)
        }
        Response::Proof(mut proof) => {
            let mut items = proof.items.to_vec();
            let at = dice.random_range(0..items.len().max(1));
            if let Some(item) = items.get_mut(at) {
                item.value = None;
            }
            proof.items = List::new(items).expect("as many as before");
            Response::Proof(proof)
        }
        other => other,
    }
}
