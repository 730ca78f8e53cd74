//! Text files that tell when a bit of them flipped.
//!
//! In: lines of text. Out: the same with a last line `crc32c=<hex>` of everything before it, or
//! the text back if that line is right. Invariant: a file that was cut, changed by one bit, or is
//! not ours does not read back. Kafka's small files have no checksum, and a flipped digit in one of
//! them is another offset, another topic or another vote.

const KEY: &str = "crc32c=";

/// The text with its checksum.
pub(super) fn seal(text: &str) -> String {
    format!("{text}{KEY}{:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// The text of a file whose checksum is right, or why there is none.
pub(super) fn unseal(content: &[u8]) -> Result<&str, String> {
    let whole = str::from_utf8(content).map_err(|_| "not text".to_owned())?;
    let at = whole
        .rfind(KEY)
        .ok_or_else(|| format!("the last line must be {KEY} and the checksum"))?;
    let (text, last) = whole.split_at_checked(at).unwrap_or_default();
    if seal(text) == whole {
        Ok(text)
    } else {
        let last = last.trim_end();
        Err(format!("the checksum {last} does not fit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let sealed = seal("0\n1\nt 0 42\n");
        assert_eq!(unseal(sealed.as_bytes()), Ok("0\n1\nt 0 42\n"));
        for length in 0..sealed.len() {
            assert!(unseal(&sealed.as_bytes()[..length]).is_err(), "{length}");
        }
        for place in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone().into_bytes();
            flipped[place / 8] ^= 1 << (place % 8);
            assert!(unseal(&flipped).is_err(), "bit {place}");
        }
    }
}
