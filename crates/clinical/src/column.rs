//! Columns of integers: an arithmetic progression in two numbers, anything else compressed.
//!
//! Promises that a column gives back exactly the integers put in, that integers stay integers, and
//! that unpacking allocates no more than the count it was told. Refuses to know what the integers
//! mean. The compressor is `pco` in its wrapped format: one chunk's metadata and one page. Its header,
//! which only says the version, is not stored but fixed by [`FORMAT`].

use crate::error::SegmentFault;
use borsh::{BorshDeserialize, BorshSerialize};
use pco::data_types::Number;
use pco::errors::PcoError;
use pco::metadata::{DeltaEncoding, Mode};
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};
use salus_wire::Blob;
use salus_wire::limits::SEGMENT_BYTES_MAX;

/// The header that `pco` writes and reads: format 4.1. Another one makes another segment version.
const FORMAT: [u8; 2] = [4, 1];

/// Compressed integers.
pub(crate) type Packed = Blob<SEGMENT_BYTES_MAX>;

/// A column of integers, whose count is stored elsewhere.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Column {
    /// `first`, `first + step`, `first + 2 step`, and so on.
    Steps { first: i64, step: i64 },
    /// Anything else.
    Packed(Packed),
}

impl Column {
    pub(crate) fn pack(values: &[i64]) -> Result<Self, SegmentFault> {
        match steps(values) {
            Some((first, step)) => Ok(Self::Steps { first, step }),
            None => pack(values, &[DeltaSpec::NoOp, DeltaSpec::TryConsecutive(1)]).map(Self::Packed),
        }
    }

    /// The `count` integers of the column.
    pub(crate) fn unpack(&self, count: usize) -> Result<Vec<i64>, SegmentFault> {
        match self {
            Self::Steps { first, step } => {
                let mut next = Some(*first);
                (0..count)
                    .map(|_| {
                        let value = next.ok_or(SegmentFault::Malformed)?;
                        next = value.checked_add(*step);
                        Ok(value)
                    })
                    .collect()
            }
            Self::Packed(packed) => unpack(packed, count),
        }
    }
}

/// The first value and the step, if the values are an arithmetic progression within `i64`.
fn steps(values: &[i64]) -> Option<(i64, i64)> {
    let first = values.first().copied().unwrap_or_default();
    let step = match values {
        [first, second, ..] => second.checked_sub(*first)?,
        _ => 0,
    };
    let regular =
        values.iter().zip(values.iter().skip(1)).all(|(one, next)| one.checked_add(step) == Some(*next));
    regular.then_some((first, step))
}

/// Compresses `values`, at least one, the way among `deltas` that comes out shortest.
pub(crate) fn pack<T: Number>(values: &[T], deltas: &[DeltaSpec]) -> Result<Packed, SegmentFault> {
    let mut shortest: Option<Vec<u8>> = None;
    for delta in deltas {
        let bytes = compress(values, ModeSpec::Classic, delta.clone())?;
        if shortest.as_ref().is_none_or(|best| bytes.len() < best.len()) {
            shortest = Some(bytes);
        }
    }
    let bytes = shortest.ok_or(SegmentFault::Compressor)?;
    Blob::new(bytes).map_err(|_| SegmentFault::TooLarge { limit: SEGMENT_BYTES_MAX })
}

fn compress<T: Number>(values: &[T], mode: ModeSpec, delta: DeltaSpec) -> Result<Vec<u8>, SegmentFault> {
    let config = ChunkConfig::default()
        .with_mode_spec(mode)
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    if file.write_header(Vec::new()).map_err(ours)? != FORMAT {
        return Err(SegmentFault::Compressor);
    }
    let mut chunk = file.chunk_compressor(values, &config).map_err(ours)?;
    let bytes = chunk.write_meta(Vec::new()).map_err(ours)?;
    chunk.write_page(0, bytes).map_err(ours)
}

fn ours(_: PcoError) -> SegmentFault {
    SegmentFault::Compressor
}

/// Decompresses exactly `count` integers out of exactly these bytes.
pub(crate) fn unpack<T: Number + Default>(packed: &Packed, count: usize) -> Result<Vec<T>, SegmentFault> {
    let malformed = |_| SegmentFault::Malformed;
    let (file, _) = FileDecompressor::new(FORMAT.as_slice()).map_err(ours)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(&**packed).map_err(malformed)?;
    if !bounded(&chunk.meta().mode, &chunk.meta().delta_encoding) {
        return Err(SegmentFault::Malformed);
    }
    let mut page = chunk.page_decompressor(rest, count).map_err(malformed)?;
    let mut values = vec![T::default(); count];
    let progress = page.read(&mut values).map_err(malformed)?;
    if progress.n_processed != count || !progress.finished || !page.into_src().is_empty() {
        return Err(SegmentFault::Malformed);
    }
    Ok(values)
}

/// Whether decompressing needs no tables or windows beyond the bytes themselves: those of other
/// modes are sized by numbers that a writer may invent.
const fn bounded(mode: &Mode, delta: &DeltaEncoding) -> bool {
    matches!(mode, Mode::Classic) && matches!(delta, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> Column {
        let column = Column::pack(values).unwrap();
        assert_eq!(column.unpack(values.len()).unwrap(), values);
        column
    }

    #[test]
    fn progressions_take_two_numbers() {
        let check =
            |values: &[i64], first, step| assert_eq!(round_trip(values), Column::Steps { first, step });
        check(&[], 0, 0);
        check(&[7], 7, 0);
        check(&[7, 7, 7], 7, 0);
        check(&[7, 9, 11], 7, 2);
        check(&[i64::MAX, 0, -i64::MAX], i64::MAX, -i64::MAX);
    }

    #[test]
    fn other_columns_are_packed() {
        for values in [&[1, 2, 4][..], &[i64::MIN, i64::MAX], &[i64::MAX, i64::MIN, 3]] {
            assert!(matches!(round_trip(values), Column::Packed(_)));
        }
    }

    #[test]
    fn a_progression_past_the_end_of_the_range_is_refused() {
        let column = Column::Steps { first: i64::MAX - 1, step: 1 };
        assert_eq!(column.unpack(2), Ok(vec![i64::MAX - 1, i64::MAX]));
        assert_eq!(column.unpack(3), Err(SegmentFault::Malformed));
    }

    #[test]
    fn a_packed_column_has_exactly_its_count_and_bytes() {
        let packed = pack(&[5_i64, 1, 9, 9, 2], &[DeltaSpec::NoOp]).unwrap();
        assert_eq!(unpack::<i64>(&packed, 5), Ok(vec![5, 1, 9, 9, 2]));
        let mut longer = packed.to_vec();
        longer.push(0);
        assert_eq!(unpack::<i64>(&Blob::new(longer).unwrap(), 5), Err(SegmentFault::Malformed));
        for length in 0..packed.len() {
            let cut = Blob::new(packed[..length].to_vec()).unwrap();
            assert_eq!(unpack::<i64>(&cut, 5), Err(SegmentFault::Malformed), "{length}");
        }
        // 300 needs a second batch that is not there.
        assert_eq!(unpack::<i64>(&packed, 300), Err(SegmentFault::Malformed));
    }

    #[test]
    fn modes_that_size_their_own_tables_are_refused() {
        // Few distinct, repeating multiples of ten: each mode below finds something to like.
        let samples: Vec<i16> = (0..4_000).map(|at| (at % 61) * (at % 61) % 97 * 10).collect();
        for (mode, delta) in [
            (ModeSpec::TryDict, DeltaSpec::NoOp),
            (ModeSpec::TryIntMult(10), DeltaSpec::NoOp),
            (ModeSpec::Classic, DeltaSpec::TryLookback),
            (ModeSpec::Classic, DeltaSpec::TryConv1(2)),
        ] {
            let packed = Blob::new(compress(&samples, mode.clone(), delta).unwrap()).unwrap();
            assert_eq!(unpack::<i16>(&packed, samples.len()), Err(SegmentFault::Malformed), "{mode:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_column_comes_back(values in proptest::collection::vec(any::<i64>(), 0..700)) {
            round_trip(&values);
        }

        #[test]
        fn altered_bytes_never_panic(
            values in proptest::collection::vec(-500_i64..500, 3..400),
            at in any::<proptest::sample::Index>(),
            bit in 0_u8..8,
            count in 0_usize..1_000,
        ) {
            let mut bytes = pack(&values, &[DeltaSpec::TryConsecutive(1)]).unwrap().into_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let unpacked = unpack::<i64>(&Blob::new(bytes).unwrap(), count);
            prop_assert!(unpacked.is_err() || unpacked.unwrap().len() == count);
        }
    }
}
