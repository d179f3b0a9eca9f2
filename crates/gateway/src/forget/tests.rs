//! What the operator's command leaves, and what the running gateway makes of it.

use super::*;
use crate::quarantine::Quarantined;
use crate::registry::tests::{PARTY, enrolled, machine_key};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainSeed;
use salus_crypto::secret::Secret;
use salus_wire::{Blob, TimeMs, encode};
use std::num::NonZeroU32;

const ORDER: GrantTag = GrantTag(salus_crypto::chain::ChainTag::from_digest(Digest::from_bytes([6; 32])));

fn config(folder: &Path) -> GatewayConfig {
    let machine = folder.join("machine.key");
    key_file::create(&machine, machine_key().secret_for_storage()).unwrap();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let nowhere = folder.join("none");
    GatewayConfig {
        party: PARTY,
        member: MemberIndex::new(0),
        consortium_file: nowhere.clone(),
        registration_file: nowhere.clone(),
        data_dir: data,
        listen_mqtt: "127.0.0.1:0".parse().unwrap(),
        tls_cert_file: nowhere.clone(),
        tls_key_file: nowhere.clone(),
        machine_key_file: machine,
        signing_key_file: nowhere,
        cadence_ms: 1,
        anchors: crate::batch::Anchors::WhenNeeded,
        clock_behind_ms_max: 1,
        clock_ahead_ms_max: 1,
        queue_bytes_max: 1,
        connections_max: 1,
        device_frames_per_s: NonZeroU32::MIN,
    }
}

fn chain(n: u8) -> ChainAnchor {
    ChainSeed::new(Secret::from_bytes([n; 32])).anchor()
}

fn device(n: u8) -> DeviceId {
    DeviceId::new([n; 16])
}

fn refused(folder: &Path, number: u8) {
    let frame = Blob::new(vec![1]).unwrap();
    let refused =
        Quarantined { code: Code::ClockOff, device: device(number), received: TimeMs::new(1), frame };
    let sealed = machine_key().seal(b"salus/quarantine/v1", &encode(&refused), &mut StdRng::seed_from_u64(1));
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{number:016x}.frame")), sealed).unwrap();
}

#[test]
fn one_patient_is_forgotten_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (registry_folder, mut rng) = (config.registry_folder(), StdRng::seed_from_u64(3));
    // Device 1 is patient 9's, device 2 was theirs and is patient 8's now, device 3 is patient 8's.
    let mut second = enrolled(2, 9, (0, 1_000));
    let later = enrolled(2, 8, (1_000, 2_000)).assignments[0].clone();
    second.assignments = List::new(vec![second.assignments[0].clone(), later]).unwrap();
    for entry in [enrolled(1, 9, (0, 1_000)), second, enrolled(3, 8, (0, 1_000))] {
        registry::add(&registry_folder, &machine_key(), &entry, &mut rng).unwrap();
    }
    refused(&config.quarantine_folder(), 1);
    refused(&config.quarantine_folder(), 3);
    let running = Registry::new(registry_folder.clone(), machine_key(), PARTY);
    running.refresh().unwrap();
    assert_eq!(running.erased([chain(9)].into_iter()), []);

    assert_eq!(forget(&config, ORDER, &chain(9), &mut rng).unwrap(), (2, 1));
    assert!(running.refresh().unwrap());
    assert_eq!(running.newly_erased(), [chain(9)]);
    assert_eq!(running.newly_erased(), []);
    assert_eq!(running.erased([chain(8), chain(9), chain(9)].into_iter()), [chain(9)]);
    assert_eq!(running.place(device(1), TimeMs::new(1)), Err(Code::DeviceUnknown));
    assert_eq!(running.place(device(2), TimeMs::new(1)), Err(Code::DeviceUnassigned));
    assert_eq!(running.place(device(2), TimeMs::new(1_500)).unwrap().grants, chain(8));
    assert_eq!(running.place(device(3), TimeMs::new(1)).unwrap().grants, chain(8));
    let frames = quarantine::list(&config.quarantine_folder(), &machine_key()).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.device).collect::<Vec<_>>(), [device(3)]);

    // It signs once, and needs the device no more; the chain stays closed, also after a restart.
    let ready = running.ready();
    let (name, mark) = &ready[0];
    assert_eq!((ready.len(), mark.order, &mark.devices[..]), (1, ORDER, &[device(1)][..]));
    running.signed(*name, mark).unwrap();
    assert_eq!(running.ready(), []);
    let restarted = Registry::new(registry_folder.clone(), machine_key(), PARTY);
    restarted.refresh().unwrap();
    assert_eq!(restarted.ready(), []);
    assert_eq!(restarted.erased([chain(9)].into_iter()), [chain(9)]);
    // Told again, there is nothing to do.
    assert_eq!(forget(&config, ORDER, &chain(9), &mut rng).unwrap(), (0, 0));
    restarted.refresh().unwrap();
    assert_eq!(restarted.ready(), []);
    for entry in fs::read_dir(&registry_folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(32).any(|window| window == chain(9).as_bytes()));
        assert!(!bytes.windows(16).any(|window| window == [1; 16]));
    }
}

/// Patient 9's devices 1 and 5, and device 2, which is patient 8's now; a refused frame of each.
fn admitted(config: &GatewayConfig, rng: &mut StdRng) {
    let folder = config.registry_folder();
    let mut second = enrolled(2, 9, (0, 1_000));
    let later = enrolled(2, 8, (1_000, 2_000)).assignments[0].clone();
    second.assignments = List::new(vec![second.assignments[0].clone(), later]).unwrap();
    for entry in [enrolled(1, 9, (0, 1_000)), second, enrolled(5, 9, (0, 1_000))] {
        registry::add(&folder, &machine_key(), &entry, rng).unwrap();
    }
    for number in [1, 2, 5] {
        refused(&config.quarantine_folder(), number);
    }
}

/// Whether nothing of patient 9 is left but the mark.
fn is_gone(config: &GatewayConfig) -> bool {
    let entries = registry::all(&config.registry_folder(), &machine_key()).unwrap();
    let theirs = |entry: &Enrolled| entry.assignments.iter().any(|a| a.assignment.grants == chain(9));
    let frames = quarantine::list(&config.quarantine_folder(), &machine_key()).unwrap();
    !entries.iter().any(theirs) && frames.is_empty()
}

#[test]
fn cut_short_at_any_step_nothing_is_signed_and_the_next_try_ends_it() {
    const STEPS: usize = 6;
    for steps in 0..=STEPS {
        let folder = tempfile::tempdir().unwrap();
        let (config, mut rng) = (config(folder.path()), StdRng::seed_from_u64(4));
        admitted(&config, &mut rng);
        let (registry, quarantine) = (config.registry_folder(), config.quarantine_folder());
        let premises = Premises { registry: &registry, quarantine: &quarantine, key: &machine_key() };
        let mut left = steps;
        let mut next = || {
            left = left.checked_sub(1).ok_or(GatewayError::Lost)?;
            Ok(())
        };
        let cut = forget_in_steps(&premises, ORDER, &chain(9), &mut rng, &mut next);
        assert_eq!(cut.is_ok(), steps == STEPS, "there are as many steps");
        let running = Registry::new(registry.clone(), machine_key(), PARTY);
        running.refresh().unwrap();
        assert_eq!(running.ready().len(), usize::from(steps == STEPS), "after {steps} steps");
        // From the first on, the chain is closed.
        assert_eq!(running.erased([chain(9)].into_iter()).len(), usize::from(steps > 0));
        assert!(steps == 0 || running.place(device(5), TimeMs::new(1)).is_err());

        forget(&config, ORDER, &chain(9), &mut rng).unwrap();
        running.refresh().unwrap();
        let ready = running.ready();
        assert_eq!(ready.len(), 1);
        let mut devices = ready[0].1.devices.to_vec();
        devices.sort_unstable();
        assert_eq!(devices, [device(1), device(5)], "after {steps} steps");
        assert_eq!(ready[0].1.refused.len(), 3);
        assert!(is_gone(&config));
    }
}

#[test]
fn what_comes_back_after_a_receipt_is_forgotten_again_and_signed_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (config, mut rng) = (config(folder.path()), StdRng::seed_from_u64(4));
    admitted(&config, &mut rng);
    forget(&config, ORDER, &chain(9), &mut rng).unwrap();
    let running = Registry::new(config.registry_folder(), machine_key(), PARTY);
    running.refresh().unwrap();
    let (name, mark) = running.ready().remove(0);
    // More is forgotten while the receipt is on its way: the one does not cover the other.
    admitted(&config, &mut rng);
    forget(&config, ORDER, &chain(9), &mut rng).unwrap();
    running.signed(name, &Mark { devices: List::empty(), ..mark.clone() }).unwrap();
    running.refresh().unwrap();
    assert_eq!(running.ready(), [(name, mark.clone())]);
    running.signed(name, &mark).unwrap();
    // A backup of the registry's entries, with the mark as it is.
    admitted(&config, &mut rng);
    running.refresh().unwrap();
    assert_eq!(running.ready(), []);
    assert!(running.place(device(1), TimeMs::new(1)).is_err(), "the chain stays closed");
    assert_eq!(forget(&config, ORDER, &chain(9), &mut rng).unwrap(), (3, 3));
    running.refresh().unwrap();
    assert_eq!(running.ready(), [(name, mark)]);
    assert!(is_gone(&config));
}
