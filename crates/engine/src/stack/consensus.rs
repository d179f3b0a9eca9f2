//! Simplex, with our timings.
//!
//! Promises that all members elect the same leaders in turn, and that the record of this member's
//! own votes is written before a vote is sent and kept under one name for ever: it is what keeps a
//! restarted member from voting twice.

use super::archive::{
    EPOCH_BLOCKS, FETCH_AGAIN, FETCH_TIMEOUT, REPLAY_BUFFER, VIEWS_KEPT, WRITE_BUFFER, page_cache,
};
use super::parts::EPOCH;
use crate::candidate::Candidate;
use crate::handle;
use crate::host::{Footprint, Member, Runtime, Wires, Wiring};
use crate::reporters::{Ears, Heard};
use crate::voter::Voter;
use commonware_consensus::marshal::standard::Inline;
use commonware_consensus::simplex;
use commonware_consensus::simplex::config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::types::FixedEpocher;
use commonware_cryptography::Digestible as _;
use commonware_parallel::Sequential;
use commonware_runtime::Handle as Task;
use commonware_utils::NZDuration;
use std::sync::Arc;

/// What the protocol's parts work with.
pub(super) struct Roles {
    /// Proposes and judges.
    pub(super) voter: Voter,
    /// Keeps blocks.
    pub(super) archive: handle::Archive,
    /// Hears votes.
    pub(super) heard: Arc<Heard>,
}

/// Takes part in the protocol. `channels`: votes, certificates, requests for them.
pub(super) fn start<E: Runtime, W: Wiring>(
    context: &E,
    footprint: &Footprint,
    member: Member,
    guard: W::Guard,
    genesis: &Candidate,
    roles: Roles,
    channels: (Wires<W>, Wires<W>, Wires<W>),
) -> Task<()> {
    let pacing = member.pacing;
    let application = Inline::new(
        context.child("application"),
        roles.voter,
        roles.archive,
        FixedEpocher::new(EPOCH_BLOCKS),
    );
    let config = simplex::config::Config {
        scheme: member.votes,
        elector: <RoundRobin>::default(),
        blocker: guard,
        automaton: application.clone(),
        relay: application.clone(),
        reporter: Ears { inner: application, heard: roles.heard },
        track_historical_votes: false,
        strategy: Sequential,
        partition: format!("{}votes", footprint.prefix),
        mailbox_size: footprint.mailbox_slots,
        epoch: EPOCH,
        floor: Floor::Genesis(genesis.digest()),
        replay_buffer: REPLAY_BUFFER,
        write_buffer: WRITE_BUFFER,
        page_cache: page_cache(),
        leader_timeout: pacing.leader_timeout(),
        certification_timeout: pacing.certification_timeout(),
        timeout_retry: pacing.leader_timeout(),
        view_retention: VIEWS_KEPT,
        skip: SkipPolicy::Enabled { timeout: pacing.silence(), budget: SkipBudget::Participants },
        fetch_timeout: NZDuration!(FETCH_TIMEOUT),
        fetch_retry_delay: FETCH_AGAIN,
        forward: ForwardPolicy::SilentLeader,
    };
    let engine = simplex::Engine::new(context.child("consensus"), config);
    let (votes, certificates, resolver) = channels;
    engine.start(votes, certificates, resolver)
}
