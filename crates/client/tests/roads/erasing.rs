//! An order of erasure, carried to members that lie, are dead or silent: fragments are named before shares go, and
//! nobody is waited for without end.

use futures::executor::block_on;
use futures::future::{BoxFuture, pending};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::drive::Ground;
use salus_client::erasure::{Addressees, FoundEpochs, Unnamed};
use salus_client::{ClientError, Consortium, Errand, Fault, Wallet};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_fragment::SealingEpoch;
use salus_fragment::epoch::EpochTerms;
use salus_wire::erasure::{
    EraseAnswer, EraseStep, EraseTerms, ErasedEpoch, ErasedShares, erased_info, erased_message,
};
use salus_wire::release::{EpochShare, EpochShares};
use salus_wire::rpc::{Request, Response};
use salus_wire::{
    ChainId, Code, DataClass, Faults, Height, List, MemberIndex, ObservationCode, PartyId, TimeMs, TimeSpan,
    decode, encode, namespaces,
};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
const WRITER: PartyId = PartyId::new([4; 16]);
/// Segments that stores have of every epoch.
const SEGMENTS: u32 = 7;

/// How a member answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Honest,
    /// Holds shares of the epochs from this one on.
    From(usize),
    /// Says that it holds nothing.
    Empty,
    /// Cannot be reached.
    Dead,
    /// Never answers.
    Silent,
    /// Gives the first page again and again.
    Endless,
    /// Says that it had as many segments as there can be.
    Inflates,
    /// Found less than the others, unless told how far to look.
    Missed,
    /// Answers for one epoch at a time.
    Sparing,
}

fn service(n: u16) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([u8::try_from(n).expect("few") + 50; 32]))
}

/// Members, and a clock that goes on while somebody waits.
struct Members {
    manners: Vec<Manner>,
    /// By member, the encoded shares of each epoch.
    shares: Vec<Vec<Vec<u8>>>,
    /// How far each member was asked to look.
    asked: Mutex<BTreeMap<u16, u32>>,
    clock: Arc<AtomicU64>,
}

/// Each time that it is asked, a second passes.
struct Pause(Arc<AtomicU64>, u64);

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context.waker().wake_by_ref();
        if self.0.fetch_add(1_000, Ordering::Relaxed) >= self.1 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Members {
    fn give(&self, to: MemberIndex, terms: &EraseTerms, skip: u32) -> Response {
        let at = usize::from(to.get());
        let (from, skip) = match self.manners[at] {
            Manner::Empty => (usize::MAX, 0),
            Manner::From(first) => (first, skip),
            Manner::Endless => (0, 0),
            _ => (0, skip),
        };
        let held: Vec<&Vec<u8>> = self.shares[at].iter().skip(from).collect();
        let skip = usize::try_from(skip).expect("a number");
        let page: Vec<EpochShare> =
            held.iter().skip(skip).take(64).map(|share| decode(share, 1 << 20).expect("a share")).collect();
        let left = held.len().saturating_sub(skip).saturating_sub(page.len());
        let left = if self.manners[at] == Manner::Endless { held.len() } else { left };
        let remaining = u32::try_from(left).expect("few");
        let link = salus_crypto::chain::Link::from_secret(Secret::from_bytes(*terms.link.0.danger_expose()));
        let order = salus_wire::GrantTag(link.tag());
        let plain = encode(&EpochShares(List::new(page).expect("a page")));
        let info = erased_info(CHAIN, to, order);
        let mut rng = StdRng::seed_from_u64(3);
        let sealed = terms.reader.seal(&info, &[], &plain, &mut rng).expect("a key");
        let message = erased_message(CHAIN, to, order, &sealed, remaining);
        let signature = service(to.get()).sign(namespaces::ERASED_SHARES, &message);
        let shares = ErasedShares { custodian: to, order, sealed, remaining, signature };
        Response::Erased(EraseAnswer::Shares(Box::new(shares)))
    }

    fn destroy(&self, to: MemberIndex, epochs: &[ErasedEpoch]) -> Response {
        let manner = self.manners[usize::from(to.get())];
        let most = epochs.iter().map(|epoch| epoch.segments).max().unwrap_or(0);
        let mut asked = self.asked.lock().expect("one thread");
        let before = asked.entry(to.get()).or_default();
        *before = most.max(*before);
        let count = |epoch: &ErasedEpoch| match manner {
            Manner::Inflates => 65_536,
            Manner::Missed if epoch.segments < SEGMENTS => 2,
            _ => SEGMENTS,
        };
        let some = if manner == Manner::Sparing { 1 } else { epochs.len() };
        let counts = epochs.iter().take(some).map(count).collect();
        Response::Erased(EraseAnswer::Fragments(List::new(counts).expect("as many as asked")))
    }
}

impl Ground for Members {
    fn members(&self) -> u16 {
        u16::try_from(self.manners.len()).expect("few")
    }

    fn call<'a>(
        &'a self,
        to: MemberIndex,
        request: &'a Request,
        _: Duration,
    ) -> BoxFuture<'a, Option<Response>> {
        let manner = self.manners[usize::from(to.get())];
        let response = match (manner, request) {
            (Manner::Dead, _) => None,
            (Manner::Silent, Request::Erase(_)) => return Box::pin(pending()),
            (_, Request::Erase(request)) => match &request.terms.step {
                EraseStep::Shares { skip } => Some(self.give(to, &request.terms, *skip)),
                EraseStep::Fragments(epochs) => Some(self.destroy(to, epochs)),
                EraseStep::Finish => Some(Response::Erased(EraseAnswer::Finished)),
            },
            _ => None,
        };
        Box::pin(std::future::ready(response))
    }

    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        let now = self.clock.load(Ordering::Relaxed);
        let until = now + u64::try_from(time.as_millis()).expect("short");
        Box::pin(Pause(Arc::clone(&self.clock), until))
    }

    fn now(&self) -> TimeMs {
        TimeMs::new(self.clock.load(Ordering::Relaxed))
    }

    fn rng(&self) -> Result<StdRng, ClientError> {
        Ok(StdRng::seed_from_u64(1))
    }
}

struct Case {
    members: Arc<Members>,
    errand: Errand,
}

impl Case {
    /// A wallet that has ordered, and members of these manners that hold shares of so many epochs.
    fn new(manners: &[Manner], epochs: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(2);
        let faults = Faults::for_members(manners.len()).expect("few");
        let mut wallet = Wallet::generate(WRITER, &mut rng);
        wallet.order_erasure(CHAIN, &mut rng).expect("the chain is long");
        let writer = SigningKey::from_seed(Secret::from_bytes([8; 32]));
        let mut shares = vec![Vec::new(); manners.len()];
        for at in 0..epochs {
            let span = TimeSpan::new(TimeMs::new(at), TimeMs::new(at + 1)).expect("not empty");
            let (class, code) = (DataClass::Vitals, ObservationCode::Loinc(8_867));
            let terms = EpochTerms { writer: WRITER, class, code, span, grants: wallet.chain().anchor() };
            let epoch = SealingEpoch::generate(terms, &mut rng);
            for (held, share) in shares.iter_mut().zip(epoch.shares(CHAIN, faults, &writer, &mut rng)) {
                held.push(encode(&share));
            }
        }
        let service_keys = (0..faults.members()).map(|n| service(n).public_key()).collect();
        let to = Addressees { chain: CHAIN, faults, service_keys, writer_key: writer.public_key() };
        let errand = wallet.errand(to).expect("an order");
        let (manners, asked, clock) = (manners.to_vec(), Mutex::default(), Arc::default());
        Self { members: Arc::new(Members { manners, shares, asked, clock }), errand }
    }

    fn close(&self, unnamed: Unnamed) -> Result<(FoundEpochs, Vec<Fault>), ClientError> {
        let consortium = Consortium::on(self.members.clone());
        block_on(consortium.close_chain(&self.errand, Height::new(1), unnamed, &|_| {}))
    }

    fn waited(&self) -> Duration {
        Duration::from_millis(self.members.clock.load(Ordering::Relaxed))
    }
}

fn named(faults: &[Fault]) -> Vec<(u16, Code)> {
    faults.iter().map(|fault| (fault.member.get(), fault.code)).collect()
}

#[test]
fn fragments_are_named_whatever_one_member_does() {
    use Manner::{Dead, Empty, Endless, From, Honest, Silent};
    for (manner, fault) in [
        (Honest, None),
        (Dead, Some(Code::Unreachable)),
        (Silent, Some(Code::Unreachable)),
        (Empty, Some(Code::NothingHeld)),
        (From(1), Some(Code::NothingHeld)),
        (Endless, Some(Code::Malformed)),
    ] {
        let case = Case::new(&[Honest, Honest, manner, Honest], 70);
        let (found, faults) = case.close(Unnamed::Wait).expect("three give all");
        assert_eq!((found.epochs.len(), found.unnamed), (70, 0));
        assert_eq!(named(&faults), fault.map(|code| (2, code)).into_iter().collect::<Vec<_>>());
        assert!(case.waited() < Duration::from_secs(60));
    }
}

#[test]
fn shares_do_not_go_before_every_fragment_that_somebody_may_open_is_named() {
    use Manner::{Dead, Empty, From, Honest, Silent};
    // Which custodians there are, the epochs, and how many of them cannot be named yet.
    for (manners, epochs, open) in [
        // The liar keeps back what the dead member has too.
        ([Honest, Honest, Empty, Dead], 3, 3),
        ([Honest, Honest, Empty, Silent], 3, 3),
        ([Honest, Honest, From(2), Dead], 3, 2),
        // Two of four hold it, and one that lies may be the third.
        ([Honest, Honest, From(1), From(1)], 3, 1),
    ] {
        let case = Case::new(&manners, epochs);
        let Err(ClientError::Unnamed { epochs, faults }) = case.close(Unnamed::Wait) else {
            panic!("the shares would go")
        };
        assert_eq!(epochs, open);
        assert!(!faults.is_empty(), "who did not give all is named");
        let (found, _) = case.close(Unnamed::Leave).expect("as the patient wants");
        assert_eq!(usize::try_from(found.unnamed).expect("few"), open);
    }
    // One of four holds it, and with one that lies there are still too few: it opens for nobody, ever.
    let case = Case::new(&[Honest, From(1), From(1), From(1)], 3);
    let (found, _) = case.close(Unnamed::Wait).expect("all answer");
    assert_eq!((found.epochs.len(), found.unnamed), (2, 1));
}

#[test]
fn what_fewer_than_n_less_f_say_is_not_all_there_is() {
    use Manner::{Dead, Honest, Silent};
    for manners in [[Honest, Honest, Dead, Dead], [Honest, Honest, Silent, Dead]] {
        for unnamed in [Unnamed::Wait, Unnamed::Leave] {
            let error = Case::new(&manners, 3).close(unnamed).err().expect("two are too few");
            let ClientError::TooFewShares { released, needed, .. } = error else { panic!("{error}") };
            assert_eq!((released, needed), (2, 3));
        }
    }
    // Of six, three are the threshold; with three answers an epoch that five took may be missed.
    let error = Case::new(&[Honest, Honest, Honest, Honest, Dead, Dead], 3).close(Unnamed::Wait).err();
    assert!(matches!(error, Some(ClientError::TooFewShares { released: 4, needed: 5, .. })));
}

#[test]
fn a_liar_sends_nobody_through_places_where_nothing_was() {
    use Manner::{Honest, Inflates, Missed, Silent, Sparing};
    for (manner, fault, least, most) in [
        (Inflates, None, 0, 0),
        (Silent, Some(Code::Unreachable), 0, 0),
        // Who missed some is asked again, and told how far to look.
        (Missed, None, SEGMENTS, SEGMENTS),
        (Sparing, None, 0, 0),
    ] {
        let case = Case::new(&[Honest, Honest, manner, Honest], 70);
        let mut epochs = case.close(Unnamed::Leave).map(|(found, _)| found.epochs).unwrap_or_default();
        // A silent member gives no shares either; three are enough.
        assert_eq!(epochs.len(), 70);
        let consortium = Consortium::on(case.members.clone());
        let started = case.waited();
        let faults = block_on(consortium.destroy_fragments(&case.errand, &mut epochs, &|_| {}));
        assert_eq!(named(&faults), fault.map(|code| (2, code)).into_iter().collect::<Vec<_>>());
        assert!(epochs.iter().all(|epoch| epoch.segments == SEGMENTS));
        let asked = case.members.asked.lock().expect("one thread").get(&2).copied().unwrap_or(0);
        assert!((least..=most).contains(&asked), "asked to look at {asked}");
        let honest = case.members.asked.lock().expect("one thread").get(&0).copied();
        assert!(honest <= Some(SEGMENTS));
        assert!(case.waited().saturating_sub(started) < Duration::from_secs(60));
    }
}

#[test]
fn a_member_that_never_signs_holds_nobody_up() {
    let case = Case::new(&[Manner::Honest, Manner::Honest, Manner::Silent, Manner::Honest], 1);
    let consortium = Consortium::on(case.members.clone());
    let everybody: Vec<MemberIndex> = (0..4).map(MemberIndex::new).collect();
    let faults = block_on(consortium.finish_erasure(&case.errand, &everybody, &|_| {}));
    assert_eq!(named(&faults), [(2, Code::Unreachable)]);
    assert!(case.waited() < Duration::from_secs(60));
}
