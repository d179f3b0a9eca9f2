//! Members that lie: what they answer in place of the truth.

use crate::disk::lock;
use crate::member::Life;
use crate::world::World;
use rand::RngExt;
use salus_link::Subject;
use salus_wire::rpc::{Committed, Refusal, Request, Response};
use salus_wire::state::Tip;
use salus_wire::{Blob, Code, Height, List, MemberIndex, Outcome};

/// What a liar says; `None` is silence.
pub async fn answer(
    world: &World,
    member: MemberIndex,
    life: &Life,
    subject: Subject,
    request: Request,
) -> Option<Response> {
    let mood: u8 = lock(&world.dice).random_range(0..10);
    // Half of the time it behaves, or nobody would talk to it.
    if mood < 4 {
        return Some(life.door.answer(subject, request).await);
    }
    world.fault("lie");
    match (mood, &request) {
        (4, _) => None,
        (5, _) => Some(refuse(world)),
        (6, Request::Submit(_)) => Some(committed(life, Outcome::Applied)),
        (7, Request::Submit(_)) => Some(committed(life, Outcome::Refused(Code::AlreadyExists))),
        _ => {
            let truth = life.door.answer(subject, request).await;
            Some(twist(world, member, truth))
        }
    }
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
            if let Some(item) = items.last_mut() {
                item.value = None;
            }
            proof.items = List::new(items).expect("as many as before");
            Response::Proof(proof)
        }
        other => other,
    }
}
