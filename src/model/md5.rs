//! MD5 (RFC 1321), for one run of bytes or for two at once.
//!
//! A large file has two digests: that of each part, which the storage answers, and that of the whole, which
//! Files.com states. One step of MD5 waits for the one before it, so that half of a processor stands idle; two
//! digests of the same bytes, step by step side by side, cost little more than one. No crate does that. For
//! everything else there is the `md-5` crate, against which this is tested.

/// Bytes of one block.
const BLOCK: usize = 64;
const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

type State = [u32; 4];

/// The 4294967296 times abs(sin(n)) of the RFC, n from 1 to 64, by rounds.
const SINES: [[u32; 16]; 4] = [
    [
        0xd76a_a478,
        0xe8c7_b756,
        0x2420_70db,
        0xc1bd_ceee,
        0xf57c_0faf,
        0x4787_c62a,
        0xa830_4613,
        0xfd46_9501,
        0x6980_98d8,
        0x8b44_f7af,
        0xffff_5bb1,
        0x895c_d7be,
        0x6b90_1122,
        0xfd98_7193,
        0xa679_438e,
        0x49b4_0821,
    ],
    [
        0xf61e_2562,
        0xc040_b340,
        0x265e_5a51,
        0xe9b6_c7aa,
        0xd62f_105d,
        0x0244_1453,
        0xd8a1_e681,
        0xe7d3_fbc8,
        0x21e1_cde6,
        0xc337_07d6,
        0xf4d5_0d87,
        0x455a_14ed,
        0xa9e3_e905,
        0xfcef_a3f8,
        0x676f_02d9,
        0x8d2a_4c8a,
    ],
    [
        0xfffa_3942,
        0x8771_f681,
        0x6d9d_6122,
        0xfde5_380c,
        0xa4be_ea44,
        0x4bde_cfa9,
        0xf6bb_4b60,
        0xbebf_bc70,
        0x289b_7ec6,
        0xeaa1_27fa,
        0xd4ef_3085,
        0x0488_1d05,
        0xd9d4_d039,
        0xe6db_99e5,
        0x1fa2_7cf8,
        0xc4ac_5665,
    ],
    [
        0xf429_2244,
        0x432a_ff97,
        0xab94_23a7,
        0xfc93_a039,
        0x655b_59c3,
        0x8f0c_cc92,
        0xffef_f47d,
        0x8584_5dd1,
        0x6fa8_7e4f,
        0xfe2c_e6e0,
        0xa301_4314,
        0x4e08_11a1,
        0xf753_7e82,
        0xbd3a_f235,
        0x2ad7_d2bb,
        0xeb86_d391,
    ],
];

/// By how many bits a step turns, by round and by step modulo four.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest of a run of bytes that is still coming.
#[derive(Debug, Clone)]
pub struct Chain {
    state: State,
    /// Bytes so far.
    length: u64,
    /// The last `length % 64` of them.
    rest: [u8; BLOCK],
}

impl Default for Chain {
    fn default() -> Self {
        Self { state: START, length: 0, rest: [0; BLOCK] }
    }
}

impl Chain {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        let mut states = [self.state];
        let rest = compress(&mut states, bytes);
        [self.state] = states;
        self.keep(bytes.len(), rest);
    }

    /// Takes the next bytes of two runs, which are the same for both. One pass where both are at the end of a block:
    /// after the same number of bytes, and wherever parts begin.
    pub fn update_both(&mut self, other: &mut Self, bytes: &[u8]) {
        if self.filled() != 0 || other.filled() != 0 {
            self.update(bytes);
            other.update(bytes);
            return;
        }
        let mut states = [self.state, other.state];
        let rest = compress(&mut states, bytes);
        [self.state, other.state] = states;
        self.keep(bytes.len(), rest);
        other.keep(bytes.len(), rest);
    }

    /// The digest of all bytes so far.
    pub fn finish(mut self) -> [u8; 16] {
        let bits = self.length.wrapping_mul(8);
        // A one, and zeros up to the last eight bytes of a block.
        let zeros = (BLOCK + 55 - self.filled()) % BLOCK;
        self.update(&[0x80]);
        self.update(&[0; BLOCK][..zeros]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }

    fn filled(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Completes the block that has begun, and answers with what is left of `bytes`.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let filled = self.filled();
        if filled == 0 {
            return bytes;
        }
        let (head, bytes) = bytes.split_at(bytes.len().min(BLOCK - filled));
        self.rest[filled..filled + head.len()].copy_from_slice(head);
        self.length += head.len() as u64;
        if self.filled() == 0 {
            let mut states = [self.state];
            compress(&mut states, &self.rest);
            [self.state] = states;
        }
        bytes
    }

    /// Takes note of `count` bytes, the last of which make no whole block.
    fn keep(&mut self, count: usize, rest: &[u8]) {
        self.length += count as u64;
        self.rest[..rest.len()].copy_from_slice(rest);
    }
}

/// Takes the whole blocks of `bytes` into all `states`, and answers with what is left.
fn compress<'a, const N: usize>(states: &mut [State; N], bytes: &'a [u8]) -> &'a [u8] {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut now = *states;
    for block in blocks {
        let before = now;
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        rounds(&mut now, &words);
        for (now, before) in now.iter_mut().flatten().zip(before.iter().flatten()) {
            *now = now.wrapping_add(*before);
        }
    }
    *states = now;
    rest
}

/// The 64 steps. Written out, each with constants of its own: as a loop it takes twice as long.
#[inline(always)]
fn rounds<const N: usize>(states: &mut [State; N], words: &[u32; 16]) {
    macro_rules! steps {
        ($round:literal, $word:expr, $plus_f:expr) => {
            steps!($round, $word, $plus_f, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        };
        ($round:literal, $word:expr, $plus_f:expr, $($n:literal)*) => {
            $(step(states, words[$word($n) % 16].wrapping_add(SINES[$round][$n]), TURNS[$round][$n % 4], $plus_f);)*
        };
    }
    steps!(0, |n: usize| n, |sum, b, c, d| sum.wrapping_add(d ^ (b & (c ^ d))));
    // The two halves have no bit in common: their sum is their union. The first one does not wait for `b`, the
    // step before this one, and is out of the way when that is there.
    steps!(1, |n: usize| 5 * n + 1, |sum, b, c, d| sum.wrapping_add(c & !d).wrapping_add(b & d));
    steps!(2, |n: usize| 3 * n + 5, |sum, b, c, d| sum.wrapping_add(b ^ (c ^ d)));
    steps!(3, |n: usize| 7 * n, |sum, b, c, d| sum.wrapping_add(c ^ (b | !d)));
}

#[inline(always)]
fn step<const N: usize>(
    states: &mut [State; N],
    word: u32,
    turn: u32,
    plus_f: impl Fn(u32, u32, u32, u32) -> u32,
) {
    for state in states {
        let [a, b, c, d] = *state;
        let sum = plus_f(a.wrapping_add(word), b, c, d);
        *state = [d, sum.rotate_left(turn).wrapping_add(b), b, c];
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest as _;
    use proptest::prelude::*;

    use super::*;

    fn known(bytes: &[u8]) -> [u8; 16] {
        md5::Md5::digest(bytes).into()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let of = |text: &str| {
            let mut chain = Chain::default();
            chain.update(text.as_bytes());
            chain.finish().map(|byte| format!("{byte:02x}")).concat()
        };
        assert_eq!(of(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(of("abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(of(&"1234567890".repeat(8)), "57edf4a22be3c955ac49da2e2107b67a");
    }

    proptest! {
        #[test]
        fn two_at_once_are_what_each_is_alone(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            begins in 0usize..300,
            cuts in prop::collection::vec(0usize..400, 0..12),
        ) {
            // The part begins somewhere in the whole, which comes in pieces of any size.
            let (head, mut rest) = bytes.split_at(begins.min(bytes.len()));
            let (mut whole, mut part) = (Chain::default(), Chain::default());
            whole.update(head);
            let tail = rest;
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                whole.update_both(&mut part, piece);
                rest = after;
            }
            whole.update_both(&mut part, rest);
            prop_assert_eq!(whole.finish(), known(&bytes));
            prop_assert_eq!(part.finish(), known(tail));
        }

        #[test]
        fn a_digest_is_the_same_in_whatever_pieces_its_bytes_come(
            bytes in prop::collection::vec(any::<u8>(), 0..700), cuts in prop::collection::vec(0usize..150, 0..12),
        ) {
            let (mut chain, mut rest) = (Chain::default(), &bytes[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                chain.update(piece);
                rest = after;
            }
            chain.update(rest);
            prop_assert_eq!(chain.finish(), known(&bytes));
        }
    }
}
