//! The patient's list: complete as of a height, whatever members say on the way.

use crate::reading::honest;
use crate::world::{READER, World, list, read};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::ask::{Answer, Silence, Told};
use salus_client::listing::AccessList;
use salus_client::{ClientError, GrantFile};
use salus_crypto::chain::seal_body;
use salus_crypto::{Digest, SigningKey};
use salus_proof::{Proven, state};
use salus_wire::limits::INTENT_PLAIN_BYTES;
use salus_wire::rpc::Values;
use salus_wire::state::Standing;
use salus_wire::{AccessTag, Blob, Code, GrantTag, List, StateKey, Tx, TxBody};

/// Something that becomes final.
type Happen = fn(&mut World, &[GrantFile]);

/// Three grants, the last one revoked, with two, one and no accesses.
fn populated() -> (World, Vec<GrantFile>) {
    let (mut world, written) = World::written(4);
    let mut files = vec![written.file];
    files.extend([world.grant_all().1, world.grant_all().1]);
    for file in [0, 0, 1] {
        let plan = world.plan(&files[file]);
        read(&mut world, plan, honest).expect("all are honest");
    }
    world.revoke(3);
    (world, files)
}

/// How many accesses each grant has.
fn shape(list: &AccessList) -> Vec<usize> {
    list.grants.iter().map(|grant| grant.accesses.len()).collect()
}

fn as_is(_: &mut World, told: Told) -> Told {
    told
}

/// Bends what one member says, the first time only when `once`.
fn bending(member: u16, once: bool, bend: fn(&mut Answer)) -> impl FnMut(&mut World, Told) -> Told {
    let mut done = false;
    move |_, mut told| {
        let bends = matches!((&told.what, once), (Ok(Answer::Values(_)), true) | (Ok(_), false));
        if let (true, Ok(answer)) = (told.from.get() == member && bends && !done, &mut told.what) {
            bend(answer);
            done = once;
        }
        told
    }
}

#[test]
fn every_grant_and_every_access_is_listed_and_opened() {
    let (mut world, files) = populated();
    let listed = list(&mut world, as_is).expect("all are honest");
    assert_eq!(shape(&listed), [2, 1, 0]);
    assert_eq!(listed.at, world.ledger.tip());
    for (grant, file) in listed.grants.iter().zip(&files) {
        assert_eq!(grant.grant.as_ref(), Some(&file.grant));
        assert_eq!(grant.index, file.index);
        for (place, access) in (1..).zip(&grant.accesses) {
            let intent = access.intent.as_ref().expect("an honest reader sealed it");
            assert_eq!(
                (access.index, intent.terms.requester, intent.terms.grant),
                (place, READER, file.tag())
            );
        }
    }
    let standing: Vec<bool> = listed.grants.iter().map(|grant| grant.standing == Standing::Active).collect();
    assert_eq!(standing, [true, true, false]);
}

#[test]
fn the_lists_proof_shows_the_end_of_every_chain_to_whoever_checks_it_again() {
    let (mut world, files) = populated();
    let listed = list(&mut world, as_is).expect("all are honest");
    let proven = state::verify(&world.ledger.policy, &listed.proof).expect("it verified before");
    let absent = |key| matches!(proven.get(&key), Proven::Absent);
    assert!(absent(StateKey::Grant(GrantTag(world.wallet.chain().link(4).tag()))));
    for (file, next) in files.iter().zip([3, 2, 1]) {
        assert!(absent(StateKey::Access(AccessTag(file.lane_link(next).unwrap().tag()))));
    }
}

#[test]
fn a_patient_without_grants_has_an_empty_list() {
    let mut world = World::of(4);
    assert!(list(&mut world, as_is).expect("all are honest").grants.is_empty());
}

#[test]
fn a_chain_longer_than_a_stride_is_walked_to_its_end() {
    let mut world = World::of(4);
    for _ in 0..33 {
        world.grant_all();
    }
    let listed = list(&mut world, as_is).expect("all are honest");
    assert_eq!(shape(&listed), [0; 33]);
}

#[test]
fn what_becomes_final_during_the_walk_is_listed() {
    let happenings: [(Happen, &[usize]); 3] = [
        (|world, _| drop(world.grant_all()), &[2, 1, 0, 0]),
        (
            |world, files| {
                let plan = world.plan(&files[1]);
                read(world, plan, honest).expect("all are honest");
            },
            &[2, 2, 0],
        ),
        (|world, _| world.revoke(1), &[2, 1, 0]),
    ];
    for (happen, expected) in happenings {
        // After which answer it happens: 0 is the grant chain's, 1 to 3 are the lanes'.
        for after in 0..4 {
            let (mut world, files) = populated();
            let mut answers = 0;
            let listed = list(&mut world, |world, told| {
                if answers == after {
                    happen(world, &files);
                }
                answers += 1;
                told
            });
            let listed = listed.expect("all are honest");
            assert_eq!(shape(&listed), expected);
            assert_eq!(listed.at, world.ledger.tip());
        }
    }
}

#[test]
fn a_revocation_during_the_walk_is_shown() {
    let (mut world, _) = populated();
    let mut first = true;
    let listed = list(&mut world, |world, told| {
        if std::mem::take(&mut first) {
            world.revoke(1);
        }
        told
    });
    let listed = listed.expect("all are honest");
    assert!(matches!(listed.grants[0].standing, Standing::Revoked(_)));
}

fn edit(answer: &mut Answer, edit: impl FnOnce(&mut Vec<Option<salus_wire::StateValue>>)) {
    if let Answer::Values(Values { values, .. }) = answer {
        let mut entries = values.to_vec();
        edit(&mut entries);
        *values = List::new(entries).expect("few");
    }
}

const LIES: [fn(&mut Answer); 7] = [
    // The last grant is not there.
    |answer| edit(answer, |entries| entries[2] = None),
    // There is nothing at all.
    |answer| edit(answer, |entries| entries.fill(None)),
    // There is one more than there is.
    |answer| edit(answer, |entries| entries[3] = entries[2].clone()),
    // Every tag is taken.
    |answer| {
        edit(answer, |entries| {
            let any = Some(salus_wire::StateValue::Tip(salus_wire::state::Tip {
                height: salus_wire::Height::new(1),
                time: salus_wire::TimeMs::new(1),
            }));
            entries.fill(any);
        });
    },
    // More answers than questions, and fewer.
    |answer| edit(answer, |entries| entries.extend(vec![entries[0].clone(); 4_000])),
    |answer| edit(answer, |entries| entries.truncate(2)),
    |answer| edit(answer, Vec::clear),
];

#[test]
fn a_member_that_lies_about_tags_is_found_out_by_the_proof() {
    for lie in LIES {
        let (mut world, _) = populated();
        let listed = list(&mut world, bending(0, true, lie)).expect("the next one is honest");
        assert_eq!(shape(&listed), [2, 1, 0]);
    }
}

#[test]
fn a_member_that_always_lies_is_passed_over() {
    let lies: [fn(&mut Answer); 2] = [LIES[4], |answer| {
        if let Answer::Proof(proof) = answer {
            proof.chain.certificate = Blob::default();
        }
    }];
    for lie in lies {
        let (mut world, _) = populated();
        let listed = list(&mut world, bending(0, false, lie)).expect("the others are honest");
        assert_eq!(shape(&listed), [2, 1, 0]);
    }
}

#[test]
fn a_member_that_calls_every_tag_taken_cannot_keep_a_patient_from_the_list() {
    let (mut world, _) = populated();
    let mut answers = 0;
    let listed = list(&mut world, |_, mut told| {
        answers += 1;
        if let (0, Ok(answer)) = (told.from.get(), &mut told.what) {
            LIES[3](answer);
        }
        told
    });
    assert_eq!(shape(&listed.expect("the others are honest")), [2, 1, 0]);
    assert!(answers < 400, "{answers} answers were taken");
}

#[test]
fn without_any_good_proof_there_is_no_list() {
    let (mut world, _) = populated();
    let error = list(&mut world, |_, mut told| {
        if let Ok(Answer::Proof(proof)) = &mut told.what {
            proof.items = List::empty();
        }
        told
    });
    let error = error.err().expect("nobody is honest");
    assert!(matches!(error, ClientError::Unproven { .. }));
    assert!(!error.faults().is_empty());
}

#[test]
fn a_consortium_that_cannot_be_reached_gives_no_list() {
    let (mut world, _) = populated();
    let error = list(&mut world, |_, told| Told { what: Err(Silence::Unreachable), ..told });
    let error = error.err().expect("nobody answers");
    assert!(error.faults().iter().all(|fault| fault.code == Code::Unreachable));
}

#[test]
fn an_access_that_its_reader_sealed_wrongly_is_listed_all_the_same() {
    let (mut world, files) = populated();
    let lane = files[0].lane().unwrap();
    let rng = &mut StdRng::seed_from_u64(5);
    let nonsense = seal_body(&lane.link(3).body_key(), INTENT_PLAIN_BYTES, b"nonsense", rng).expect("short");
    let other_key = seal_body(&lane.link(1).body_key(), INTENT_PLAIN_BYTES, b"nonsense", rng).expect("short");
    for (place, body) in [(3, nonsense), (4, other_key)] {
        let body = TxBody::RecordAccess {
            tag: AccessTag(lane.link(place).tag()),
            commitment: Digest::ZERO,
            body: Blob::new(body).expect("of the right length"),
        };
        let tx = Tx::sign(world.ledger.chain, body, &SigningKey::generate(rng));
        world.ledger.apply(&[tx]);
    }
    let listed = list(&mut world, as_is).expect("all are honest");
    assert_eq!(shape(&listed), [4, 1, 0]);
    let opened: Vec<bool> = listed.grants[0].accesses.iter().map(|access| access.intent.is_some()).collect();
    assert_eq!(opened, [true, true, false, false]);
}
