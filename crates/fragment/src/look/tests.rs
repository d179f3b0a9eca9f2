//! A look: t of n open it, fewer do not, and whoever is at fault is named.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::SigningKey;
use salus_crypto::chain::ChainSeed;
use salus_wire::consent::{Grant, Grantee};
use salus_wire::{Classes, Codes, PartyId, Purpose, Purposes, Scope, TimeMs, TimeSpan};

const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));

fn card() -> Secret<32> {
    Secret::from_bytes([7; 32])
}

struct World {
    faults: Faults,
    patient: ChainSeed,
    lane: ChainSeed,
    rng: StdRng,
}

fn seed(n: u8) -> ChainSeed {
    ChainSeed::new(Secret::from_bytes([n; 32]))
}

fn world(members: u16) -> World {
    World {
        faults: Faults::for_members(usize::from(members)).unwrap(),
        patient: seed(1),
        lane: seed(2),
        rng: StdRng::seed_from_u64(4),
    }
}

impl World {
    fn grant(&self) -> Grant {
        let span = TimeSpan::new(TimeMs::new(1), TimeMs::new(9)).unwrap();
        Grant {
            salt: [1; 32],
            writer: PartyId::new([4; 16]),
            grantee: Grantee::Emergency { card: card_name(&card_key(&card()).public_key()) },
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
            purposes: Purposes::only(Purpose::Emergency),
            validity: span,
            denies: List::empty(),
            lane: self.lane.anchor(),
            one_time: SigningKey::from_seed(Secret::from_bytes([3; 32])).public_key(),
            data: None,
        }
    }

    /// The shares of the look at `place`, by custodian.
    fn looks(&mut self, place: u16) -> Vec<(MemberIndex, LookShare)> {
        let (grant_link, access_link) = (self.patient.link(3), self.lane.link(place));
        let (grant, access) = (GrantTag(grant_link.tag()), AccessTag(access_link.tag()));
        let at = LookPlace { grant, place, access };
        let kit = EmergencyKit {
            grant_index: 3,
            grant_link: ShareBytes(grant_link.to_secret()),
            grant_body_key: ShareBytes(self.patient.body_key(3)),
            access_link: ShareBytes(access_link.to_secret()),
        };
        let shares = prepare(CHAIN, self.faults, at, &self.grant(), &kit, &card(), &mut self.rng).unwrap();
        (0..).map(MemberIndex::new).zip(shares).collect()
    }

    fn verify(&self, at: MemberIndex, look: &LookShare) -> Result<(), ShareFault> {
        verify_look(CHAIN, self.faults, &card_key(&card()).public_key(), at, look)
    }

    fn open(&self, looks: &[(MemberIndex, LookShare)]) -> Result<(LookHeader, EmergencyKit), ShareFault> {
        let card = card_key(&card()).public_key();
        let check =
            |(at, look): &(MemberIndex, LookShare)| CheckedLook::check(CHAIN, self.faults, &card, *at, look);
        open_kit(looks.iter().map(check).collect::<Result<_, _>>()?)
    }
}

#[test]
fn any_t_custodians_open_a_look_and_fewer_do_not() {
    for members in [1, 4, 7] {
        let mut world = world(members);
        let threshold = usize::from(world.faults.key_threshold());
        let looks = world.looks(5);
        assert!(looks.iter().all(|(at, look)| world.verify(*at, look).is_ok()));
        for some in looks.windows(threshold) {
            let (header, kit) = world.open(some).ok().unwrap();
            assert_eq!((header.place, kit.grant_index), (5, 3));
            assert_eq!(header.terms, world.grant());
        }
        let few = world.open(looks.get(..threshold - 1).unwrap()).err();
        assert!(matches!(few, Some(ShareFault::TooFew { .. })), "{few:?}");
    }
}

#[test]
fn shares_of_two_looks_or_two_preparations_are_told_apart() {
    let mut world = world(4);
    let (old, new, next) = (world.looks(1), world.looks(1), world.looks(2));
    let pick = |from: &[(MemberIndex, LookShare)], n: usize| {
        let (at, look) = &from[n];
        let share = ShareBytes(Secret::from_bytes(*look.share.0.danger_expose()));
        (*at, LookShare { header: look.header.clone(), signature: look.signature, share })
    };
    let apart = [pick(&old, 0), pick(&new, 1), pick(&next, 2), pick(&next, 3)];
    assert!(matches!(world.open(&apart), Err(ShareFault::TooFew { have: 2, need: 3 })));
    let three = [pick(&old, 0), pick(&next, 1), pick(&next, 2), pick(&next, 3)];
    assert_eq!(world.open(&three).ok().unwrap().0.place, 2);
    let twice = [pick(&old, 0), pick(&old, 0), pick(&old, 1)];
    assert!(matches!(world.open(&twice), Err(ShareFault::TooFew { have: 2, need: 3 })));
}

#[test]
fn whoever_is_at_fault_is_named() {
    let mut world = world(4);
    let at = MemberIndex::new(1);
    let mut fault = |change: fn(&mut LookShare)| {
        let (_, mut look) = world.looks(1).swap_remove(1);
        change(&mut look);
        world.verify(at, &look).err()
    };
    let unsigned = Some(ShareFault::Unsigned(at));
    assert_eq!(
        fault(|look| look.share = ShareBytes(Secret::from_bytes([1; 32]))),
        Some(ShareFault::Hash(at))
    );
    assert_eq!(fault(|look| look.header.place = 2), unsigned);
    assert_eq!(fault(|look| look.header.look = Digest::ZERO), unsigned);
    assert_eq!(fault(|look| look.header.threshold = 1), unsigned);
    assert_eq!(fault(|look| look.header.kit = Blob::default()), unsigned);
    // What a patient signed wrongly, custodians do not keep.
    let changes: [fn(&mut LookHeader); 3] = [
        |header| header.threshold = 1,
        |header| header.place = 0,
        |header| header.terms.grantee = Grantee::Emergency { card: Digest::ZERO },
    ];
    for change in changes {
        let (_, mut look) = world.looks(1).swap_remove(1);
        change(&mut look.header);
        let message = look_message(CHAIN, &look.header);
        look.signature = card_key(&card()).sign(namespaces::EMERGENCY_HEADER, &message);
        assert_eq!(world.verify(at, &look), Err(ShareFault::Shape));
    }
}

#[test]
fn a_share_for_which_the_card_did_not_sign_is_none() {
    let mut world = world(4);
    let stranger = SigningKey::from_seed(Secret::from_bytes([8; 32]));
    let mut looks = world.looks(1);
    for (_, look) in &mut looks {
        look.signature = stranger.sign(namespaces::EMERGENCY_HEADER, &look_message(CHAIN, &look.header));
    }
    assert_eq!(world.open(&looks).err(), Some(ShareFault::Unsigned(MemberIndex::new(0))));
}

#[test]
fn a_kit_that_takes_another_tag_than_its_header_opens_nothing() {
    let mut world = world(4);
    let changes: [fn(&mut LookHeader); 2] =
        [|header| header.look = Digest::ZERO, |header| header.grant.0 = seed(9).link(1).tag()];
    for change in changes {
        let mut looks = world.looks(1);
        for (_, look) in &mut looks {
            change(&mut look.header);
            look.signature =
                card_key(&card()).sign(namespaces::EMERGENCY_HEADER, &look_message(CHAIN, &look.header));
        }
        assert!(world.open(&looks).is_err());
    }
}

#[test]
fn only_the_card_tells_the_tag() {
    let mut world = world(4);
    let (_, look) = world.looks(5).swap_remove(0);
    let LookHeader { grant, place, tag, look: name, .. } = &look.header;
    let access = AccessTag(world.lane.link(5).tag());
    assert_eq!(open_tag(&card(), *grant, *place, tag), Some(access));
    assert_eq!(look_name(access), *name);
    assert_eq!(open_tag(&card(), *grant, 4, tag), None);
    assert_eq!(open_tag(&Secret::from_bytes([8; 32]), *grant, *place, tag), None);
    let all = encode(&look);
    for secret in
        [access.0.as_bytes(), world.lane.link(5).to_secret().danger_expose(), card().danger_expose()]
    {
        assert!(!all.windows(32).any(|window| window == secret));
    }
}
