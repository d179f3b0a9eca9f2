//! The room of the erasure code: systematic Reed-Solomon over GF(2^16), worked in strips.
//!
//! Promises that any k of the n shards it makes restore the k data shards, and that nothing is
//! computed when all data shards are there. Refuses to know what the shards hold. The code is that
//! of `reed-solomon-simd` 3 (Lin, Al-Naffouri, Han, Chung 2016), whose result for a block of 64
//! bytes depends on that block of each shard alone, so strips of any multiple of 64 agree.

use reed_solomon_simd::{Error, ReedSolomonDecoder, ReedSolomonEncoder};
use salus_wire::Geometry;
use std::collections::BTreeMap;

/// Bytes of each shard worked on at a time while encoding: those of k + 2f shards stay within a
/// core's cache.
pub(crate) const ENCODE_STRIP: usize = 32 * 1024;
/// The same while decoding, where every strip costs a search for the erasure locator that takes
/// longer than the strip itself.
pub(crate) const DECODE_STRIP: usize = 1024 * 1024;

/// Cuts `bytes` into the geometry's data shards of `shard_len` bytes, the last ones padded with
/// zeros, and computes the parity shards. `shard_len` is a multiple of 64 and large enough.
pub(crate) fn cut(bytes: &[u8], geometry: Geometry, shard_len: usize) -> Result<Vec<Vec<u8>>, Error> {
    let shards = |count: usize| (0..count).map(|_| Vec::with_capacity(shard_len)).collect();
    let (mut data, mut parity): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
        (shards(geometry.data()), shards(geometry.parity()));
    let mut encoder = Encoder::new(geometry, ENCODE_STRIP.min(shard_len))?;
    for (from, until) in strips(shard_len, ENCODE_STRIP) {
        for (index, shard) in data.iter_mut().enumerate() {
            let start = index.saturating_mul(shard_len).saturating_add(from).min(bytes.len());
            let end = start.saturating_add(until.saturating_sub(from)).min(bytes.len());
            shard.extend_from_slice(bytes.get(start..end).unwrap_or_default());
            shard.resize(until, 0);
        }
        encoder.strip(data.iter().map(|shard| shard.get(from..until).unwrap_or_default()), &mut parity)?;
    }
    data.append(&mut parity);
    Ok(data)
}

/// The library's encoder, made once for all strips; none without parity.
struct Encoder {
    encoder: Option<ReedSolomonEncoder>,
    geometry: Geometry,
    strip: usize,
}

impl Encoder {
    fn new(geometry: Geometry, strip: usize) -> Result<Self, Error> {
        let encoder = match geometry.parity() {
            0 => None,
            parity => Some(ReedSolomonEncoder::new(geometry.data(), parity, strip)?),
        };
        Ok(Self { encoder, geometry, strip })
    }

    /// Appends the parity of one strip of the data shards to the parity shards.
    fn strip<'a>(
        &mut self,
        data: impl Iterator<Item = &'a [u8]>,
        parity: &mut [Vec<u8>],
    ) -> Result<(), Error> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        for strip in data {
            // Only the last strip is shorter, if any is.
            if strip.len() != self.strip {
                self.strip = strip.len();
                encoder.reset(self.geometry.data(), self.geometry.parity(), self.strip)?;
            }
            encoder.add_original_shard(strip)?;
        }
        for (shard, strip) in parity.iter_mut().zip(encoder.encode()?.recovery_iter()) {
            shard.extend_from_slice(strip);
        }
        Ok(())
    }
}

/// Puts the first `len` bytes of the data shards together from any k shards, by index.
pub(crate) fn join(
    mut shards: BTreeMap<usize, Vec<u8>>,
    geometry: Geometry,
    shard_len: usize,
    len: usize,
) -> Result<Vec<u8>, Error> {
    let missing: Vec<usize> = (0..geometry.data()).filter(|index| !shards.contains_key(index)).collect();
    if !missing.is_empty() {
        restore(&mut shards, &missing, geometry, shard_len)?;
    }
    let mut bytes = Vec::with_capacity(len);
    for shard in shards.values().take(geometry.data()) {
        let wanted = len.saturating_sub(bytes.len()).min(shard.len());
        bytes.extend_from_slice(shard.get(..wanted).unwrap_or_default());
    }
    Ok(bytes)
}

fn restore(
    shards: &mut BTreeMap<usize, Vec<u8>>,
    missing: &[usize],
    geometry: Geometry,
    shard_len: usize,
) -> Result<(), Error> {
    let mut restored: BTreeMap<usize, Vec<u8>> =
        missing.iter().map(|index| (*index, Vec::with_capacity(shard_len))).collect();
    let mut decoder =
        ReedSolomonDecoder::new(geometry.data(), geometry.parity(), DECODE_STRIP.min(shard_len))?;
    for (from, until) in strips(shard_len, DECODE_STRIP) {
        if until.saturating_sub(from) < DECODE_STRIP.min(shard_len) {
            decoder.reset(geometry.data(), geometry.parity(), until.saturating_sub(from))?;
        }
        for (index, shard) in shards.iter() {
            let strip = shard.get(from..until).unwrap_or_default();
            match index.checked_sub(geometry.data()) {
                Some(parity) => decoder.add_recovery_shard(parity, strip)?,
                None => decoder.add_original_shard(*index, strip)?,
            }
        }
        for (index, strip) in decoder.decode()?.restored_original_iter() {
            if let Some(shard) = restored.get_mut(&index) {
                shard.extend_from_slice(strip);
            }
        }
    }
    shards.append(&mut restored);
    Ok(())
}

fn strips(shard_len: usize, strip: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..shard_len).step_by(strip).map(move |from| (from, from.saturating_add(strip).min(shard_len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fragment_len;
    use proptest::prelude::*;
    use salus_wire::Faults;

    fn geometry(members: usize) -> Geometry {
        Geometry::for_faults(Faults::for_members(members).unwrap())
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
    }

    /// Every choice of k indices out of n.
    fn choices(n: usize, k: usize) -> Vec<Vec<usize>> {
        (0_u32..1 << n)
            .filter(|mask| usize::try_from(mask.count_ones()).unwrap() == k)
            .map(|mask| (0..n).filter(|bit| mask >> bit & 1 == 1).collect())
            .collect()
    }

    #[test]
    fn any_k_of_n_restore_the_bytes() {
        // 1 of 1, 2 of 4, 4 of 6, 3 of 7.
        for members in [1, 4, 6, 7] {
            let geometry = geometry(members);
            for len in [1, 64, 1040, ENCODE_STRIP * geometry.data() + 777] {
                let bytes = bytes(len);
                let shard_len = fragment_len(geometry, len);
                let shards = cut(&bytes, geometry, shard_len).unwrap();
                assert_eq!(shards.len(), members);
                assert!(shards.iter().all(|shard| shard.len() == shard_len));
                for choice in choices(members, geometry.data()) {
                    let some = choice.iter().map(|index| (*index, shards[*index].clone())).collect();
                    assert_eq!(join(some, geometry, shard_len, len).unwrap(), bytes, "{choice:?}");
                }
            }
        }
    }

    #[test]
    fn strips_do_not_change_the_code() {
        let geometry = geometry(6);
        let bytes = bytes(3 * ENCODE_STRIP * geometry.data());
        let shard_len = 3 * ENCODE_STRIP;
        let shards = cut(&bytes, geometry, shard_len).unwrap();
        let whole = reed_solomon_simd::encode(geometry.data(), geometry.parity(), &shards[..geometry.data()])
            .unwrap();
        assert_eq!(shards[geometry.data()..], whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn random_losses_are_restored(
            members in 1_usize..=16,
            bytes in proptest::collection::vec(any::<u8>(), 1..5_000),
            order in any::<u64>(),
        ) {
            let geometry = geometry(members);
            let shard_len = fragment_len(geometry, bytes.len());
            let shards = cut(&bytes, geometry, shard_len).unwrap();
            let mut indices: Vec<usize> = (0..members).collect();
            indices.sort_by_key(|index| order.rotate_left(u32::try_from(*index * 7).unwrap()) % 1009);
            let some = indices.iter().take(geometry.data()).map(|i| (*i, shards[*i].clone())).collect();
            prop_assert_eq!(join(some, geometry, shard_len, bytes.len()).unwrap(), bytes);
        }
    }
}
