//! The sweep against exhaustive search, on small random histories.

use proptest::prelude::*;

use super::{Read, Write, violation};

/// Whether some order explains everything: tries them all.
fn is_linearizable(writes: &[Write], reads: &[Read]) -> bool {
    let open_writes = (1 << writes.len()) - 1;
    let open_reads = (1 << reads.len()) - 1;
    search(writes, reads, (open_writes, open_reads), 0)
}

fn search(writes: &[Write], reads: &[Read], (w, r): (u32, u32), value: i64) -> bool {
    let ends = writes
        .iter()
        .enumerate()
        .filter(|(i, write)| w >> i & 1 == 1 && write.is_certain);
    let ends = ends.map(|(_, write)| write.end);
    let read_ends = reads.iter().enumerate().filter(|(i, _)| r >> i & 1 == 1);
    let first = ends.chain(read_ends.map(|(_, read)| read.end)).min();
    let Some(first) = first else {
        return true;
    };
    let write = writes.iter().enumerate().any(|(i, write)| {
        let next = || search(writes, reads, (w & !(1 << i), r), write.value);
        w >> i & 1 == 1 && write.call <= first && fits(write, writes, reads, (w, r)) && next()
    });
    write
        || reads.iter().enumerate().any(|(i, read)| {
            let next = || search(writes, reads, (w, r & !(1 << i)), value);
            r >> i & 1 == 1 && read.call <= first && read.value == value && next()
        })
        // A write in doubt may never happen.
        || writes.iter().enumerate().any(|(i, write)| {
            let next = || search(writes, reads, (w & !(1 << i), r), value);
            w >> i & 1 == 1 && !write.is_certain && next()
        })
}

/// A write in doubt must come before what is called after its end: whatever came already was
/// called no later.
fn fits(write: &Write, writes: &[Write], reads: &[Read], (w, r): (u32, u32)) -> bool {
    let done = |open: u32, i: usize| open >> i & 1 == 0;
    let writes = writes.iter().enumerate().filter(|(i, _)| done(w, *i));
    let reads = reads.iter().enumerate().filter(|(i, _)| done(r, *i));
    writes
        .map(|(_, write)| write.call)
        .chain(reads.map(|(_, read)| read.call))
        .all(|call| call <= write.end)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = (0_i64..3, 0_u32..20, 1_u32..8, any::<bool>(), any::<bool>());
    let write = write.prop_map(|(value, call, length, is_certain, is_bounded)| Write {
        value,
        call,
        end: if is_certain || is_bounded {
            call + length
        } else {
            u32::MAX
        },
        is_certain,
    });
    proptest::collection::vec(write, 0..6)
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let read = (0_i64..3, 0_u32..24, 1_u32..8);
    let read = read.prop_map(|(value, call, length)| Read {
        value,
        call,
        end: call + length,
    });
    proptest::collection::vec(read, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_sweep_agrees_with_exhaustive_search(writes in writes(), reads in reads()) {
        let found = violation(0, &writes, &reads).expect("small");
        prop_assert_eq!(found.is_none(), is_linearizable(&writes, &reads));
    }
}

#[test]
fn repeated_values_and_doubt() {
    let write = |value, call, end, is_certain| Write {
        value,
        call,
        end,
        is_certain,
    };
    let read = |value, call, end| Read { value, call, end };
    let sure = [write(1, 1, 2, true), write(2, 3, 4, true)];
    assert_eq!(violation(0, &sure, &[read(1, 5, 6)]), Ok(Some(0)), "stale");
    assert_eq!(
        violation(0, &sure, &[read(0, 0, 1), read(2, 5, 6)]),
        Ok(None)
    );
    let doubt = [sure[0], sure[1], write(1, 3, u32::MAX, false)];
    assert_eq!(
        violation(0, &doubt, &[read(1, 5, 6)]),
        Ok(None),
        "in doubt, and seen"
    );
    let back = [read(1, 5, 6), read(2, 7, 8)];
    assert_eq!(
        violation(0, &doubt, &back),
        Ok(Some(1)),
        "nobody wrote 2 again"
    );
}
