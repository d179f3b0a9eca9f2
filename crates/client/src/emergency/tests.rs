//! What a clinician and an officer make of what custodians say, of whom one lies.

use super::*;
use crate::grant::{GrantTerms, Wallet};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_wire::{Classes, Codes, Purpose, Purposes, Scope, TimeSpan};

const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));

struct World {
    wallet: Wallet,
    plan: GlassPlan,
    custodians: Vec<KemSecretKey>,
    rng: StdRng,
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

fn card(n: u8) -> Secret<32> {
    Secret::from_bytes([n; 32])
}

impl World {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let keys: Vec<PublicKey> = (1..=4).map(|n| key(n).public_key()).collect();
        let plan = GlassPlan {
            chain: CHAIN,
            faults: Faults::for_members(4).unwrap(),
            service_keys: keys.clone(),
            requester: PartyId::new([3; 16]),
            key: key(5),
            second: key(6),
            reason: Reason::Danger,
            card: card(21),
            policy: TrustPolicy::new(CHAIN, keys).unwrap(),
            home: MemberIndex::new(0),
        };
        let custodians = (0..4).map(|_| KemSecretKey::generate(&mut rng)).collect();
        Self { wallet: Wallet::generate(PartyId::new([4; 16]), &mut rng), plan, custodians, rng }
    }

    /// The next emergency grant, which names a card, with the looks that each custodian is brought.
    fn prepared(&mut self, secret: &Secret<32>) -> (GrantFile, Vec<Vec<LookShare>>) {
        let span = TimeSpan::new(TimeMs::new(1), TimeMs::new(9)).unwrap();
        let terms = GrantTerms {
            grantee: Grantee::Emergency { card: card_name(&card_key(secret).public_key()) },
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
            purposes: Purposes::only(Purpose::Emergency),
            validity: span,
            denies: List::empty(),
        };
        let index = self.wallet.grant(CHAIN, terms, &mut self.rng).unwrap().file.index;
        let file = self.wallet.settled(index).unwrap();
        let one_time = self.wallet.one_time_key(index).unwrap();
        let keys: Vec<KemPublicKey> = self.custodians.iter().map(KemSecretKey::public_key).collect();
        let made =
            deposits(CHAIN, self.plan.faults, &keys, &file, (&one_time, secret), &mut self.rng).unwrap();
        let open = |(deposit, kem): (&EmergencyDeposit, &KemSecretKey)| {
            let info = prepare_info(CHAIN, deposit.grant, deposit.custodian);
            let plain = kem.open(&info, &[], &deposit.sealed).unwrap();
            decode::<LookShares>(&plain, RPC_BYTES_MAX).unwrap().0.into_vec()
        };
        let looks = made.iter().zip(&self.custodians).map(open).collect();
        (file, looks)
    }
}

/// What custodians give of the first place of a grant.
fn given(looks: Vec<Vec<LookShare>>) -> Vec<(MemberIndex, LookShare)> {
    let first = looks.into_iter().map(|looks| looks.into_iter().next().unwrap());
    (0_u16..).map(MemberIndex::new).zip(first).collect()
}

#[test]
fn a_grant_that_fails_is_skipped_and_ends_no_other() {
    let mut world = World::new();
    let (good, good_looks) = world.prepared(&card(21));
    let (bad, bad_looks) = world.prepared(&card(21));
    let mut gathered = Gathering::default();
    gathered.looks.insert(good.tag(), given(good_looks));
    let mut few = given(bad_looks);
    few.truncate(2);
    gathered.looks.insert(bad.tag(), few);
    let wanted = BTreeMap::from([(good.tag(), 1), (bad.tag(), 1)]);
    let (files, skipped) = gathered.opened(&world.plan, &wanted);
    assert_eq!(files.iter().map(GrantFile::tag).collect::<Vec<_>>(), [good.tag()]);
    assert_eq!(skipped, [(bad.tag(), Code::TooFewShares)]);
    // It takes the very place that was wanted, and no other.
    assert!(files[0].lane_link(1).is_some() && files[0].lane_link(2).is_none());
    assert!(gathered.opened(&world.plan, &BTreeMap::from([(good.tag(), 2)])).0.is_empty());
}

#[test]
fn what_a_stranger_put_under_a_card_opens_nothing() {
    let mut world = World::new();
    let (junk, looks) = world.prepared(&card(66));
    // A stranger's looks, which a custodian that lies gives out under the patient's card.
    let tag = &looks[0][0].header.tag;
    let shown = ShownTag { grant: junk.tag(), place: 1, tag: tag.clone() };
    let gathered = Gathering {
        tags: vec![shown],
        looks: BTreeMap::from([(junk.tag(), given(looks))]),
        ..Gathering::default()
    };
    assert!(gathered.tags(&world.plan).is_empty());
    assert!(gathered.opened(&world.plan, &BTreeMap::from([(junk.tag(), 1)])).0.is_empty());
    // With a grant of another card nothing can be prepared under this one.
    let one_time = world.wallet.one_time_key(junk.index).unwrap();
    let refused = deposits(CHAIN, world.plan.faults, &[], &junk, (&one_time, &card(21)), &mut world.rng);
    assert!(matches!(refused, Err(ClientError::BeyondGrant)));
}

#[test]
fn the_card_tells_every_tag_by_its_place() {
    let mut world = World::new();
    let (file, looks) = world.prepared(&card(21));
    let shown = |look: &LookShare| ShownTag {
        grant: file.tag(),
        place: look.header.place,
        tag: look.header.tag.clone(),
    };
    let gathered = Gathering { tags: looks[1].iter().map(shown).collect(), ..Gathering::default() };
    let tags = gathered.tags(&world.plan).remove(&file.tag()).unwrap();
    let expected = (1..=LOOKS).map(|place| (place, AccessTag(file.lane_link(place).unwrap().tag())));
    assert_eq!(tags, expected.collect());
}

#[test]
fn one_that_lies_changes_no_use_that_others_tell_of() {
    let access = AccessTag(salus_crypto::chain::ChainTag::from_digest(Digest::from_bytes([1; 32])));
    let told = EmergencyUse {
        at: TimeMs::new(5),
        requester: PartyId::new([3; 16]),
        card: Digest::from_bytes([7; 32]),
        look: look_name(access),
        access: None,
        reason: Reason::Danger,
    };
    let mut uses = Uses::new();
    // First the liar: another card, and an access that is not of this look.
    let false_ = AccessTag(salus_crypto::chain::ChainTag::from_digest(Digest::ZERO));
    merge(&mut uses, EmergencyUse { card: Digest::ZERO, ..told.clone() });
    merge(&mut uses, EmergencyUse { access: Some(false_), ..told.clone() });
    merge(&mut uses, EmergencyUse { at: TimeMs::new(4), ..told.clone() });
    merge(&mut uses, EmergencyUse { access: Some(access), ..told.clone() });
    let merged = uses.get(&(told.requester, told.card, told.look)).unwrap();
    assert_eq!(*merged, EmergencyUse { at: TimeMs::new(4), access: Some(access), ..told });
    assert_eq!(uses.len(), 2);
}
