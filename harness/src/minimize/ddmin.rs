//! Delta debugging of a list: which of its items a failure needs.
//!
//! In: the items and a question, whether some of them still fail. Out: a list that fails, and
//! from which no single item could be taken, as far as the answers were right.
//! Invariant: items keep their order; what is returned was answered with yes, or is everything.
//! Source: Zeller and Hildebrandt 2002, with complements only.

/// An answer to a smaller list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It fails in the same way.
    Fails,
    /// It does not.
    Passes,
    /// Too few runs came to a verdict to tell, so that nothing is taken away.
    Undecided,
    /// There is no time to find out.
    NoTime,
}

/// The smallest list that `ask` was seen to fail with; the whole is known to fail.
pub(super) fn ddmin<T: Clone>(items: &[T], mut ask: impl FnMut(&[T]) -> Answer) -> Vec<T> {
    let mut kept = items.to_vec();
    if kept.is_empty() {
        return kept;
    }
    match ask(&[]) {
        Answer::Fails => return Vec::new(),
        Answer::NoTime => return kept,
        Answer::Passes | Answer::Undecided => {}
    }
    let mut parts = 2;
    while kept.len() > 1 {
        match without_a_part(&kept, parts, &mut ask) {
            Err(()) => break,
            Ok(Some(fewer)) => {
                kept = fewer;
                parts = (parts - 1).max(2);
            }
            Ok(None) if parts >= kept.len() => break,
            Ok(None) => parts = (parts * 2).min(kept.len()),
        }
    }
    kept
}

/// The list without the first of `parts` parts that it fails without; an error without time.
fn without_a_part<T: Clone>(
    items: &[T],
    parts: usize,
    ask: &mut impl FnMut(&[T]) -> Answer,
) -> Result<Option<Vec<T>>, ()> {
    let length = items.len().div_ceil(parts.min(items.len()));
    for part in 0..items.len().div_ceil(length) {
        let taken = part * length..(part + 1) * length;
        let rest = items.iter().enumerate();
        let rest = rest.filter(|(position, _)| !taken.contains(position));
        let rest: Vec<T> = rest.map(|(_, item)| item.clone()).collect();
        // The empty list was asked for before.
        if rest.is_empty() {
            continue;
        }
        match ask(&rest) {
            Answer::Fails => return Ok(Some(rest)),
            Answer::Passes | Answer::Undecided => {}
            Answer::NoTime => return Err(()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(count: u32, needed: &[u32]) -> (Vec<u32>, u32) {
        let items: Vec<u32> = (0..count).collect();
        let mut asked = 0;
        let kept = ddmin(&items, |some| {
            asked += 1;
            if needed.iter().all(|item| some.contains(item)) {
                Answer::Fails
            } else {
                Answer::Passes
            }
        });
        (kept, asked)
    }

    #[test]
    fn what_is_needed_stays_in_order_and_nothing_else() {
        for needed in [&[][..], &[0], &[7], &[3, 4], &[0, 31], &[1, 9, 17, 30]] {
            for count in [32, 33, 40] {
                let (kept, asked) = minimal(count, needed);
                assert_eq!(kept, needed, "of {count}");
                assert!(
                    asked < 2 * count,
                    "{asked} questions for {needed:?} of {count}"
                );
            }
        }
        assert!(minimal(0, &[]).0.is_empty());
        assert_eq!(minimal(2, &[0, 1]).0, [0, 1]);
    }

    #[test]
    fn without_time_the_smallest_so_far_is_the_answer() {
        let mut left = 4;
        let kept = ddmin(&[1, 2, 3, 4, 5, 6, 7, 8], |some| {
            left -= 1;
            match left {
                0 => Answer::NoTime,
                _ if some.contains(&1) => Answer::Fails,
                _ => Answer::Passes,
            }
        });
        assert_eq!(kept, [1, 2, 3, 4]);
    }
}
